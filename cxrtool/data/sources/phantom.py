"""``--format phantom``: a made-up department instead of a folder.

In: ``--n`` images and ``--seed``. Out: a `SourceTable` of patients in order until n images are
reached, so that n = 500 is a prefix of n = 1,000; reports and labels as a report labeler would find
them; the geometry of every image as the side table ``truth.csv`` (document fractions, see
`cxrtool.phantom.truth`) with the findings really drawn in columns ``drawn_<label>``.

Pictures are drawn at one native size whatever ``--size`` says (up to that size), as radiographs of
an archive would be: the pixel keys of the leak guard do not depend on the size that is written.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from cxrtool.core.errors import InputError
from cxrtool.data.columns import SIMULATED
from cxrtool.data.sources.base import SourceOptions, SourceTable
from cxrtool.phantom import LABELS, sample_patient, simulate, truth_row
from cxrtool.phantom.params import Patient

DEFAULT_N = 200
NATIVE_PX = 256
_NAME = re.compile(r"patient(\d+)/")


_patient = lru_cache(maxsize=8)(sample_patient)


@dataclass(frozen=True)
class PhantomOpener:
    """Draws the image behind a reference; everything follows from the seed and the name."""

    seed: int
    size: int

    def __call__(self, ref: str) -> np.ndarray:
        """Simulates one image, uint8 [size, size].

        Raises:
            InputError: The reference names no phantom of this seed.
        """
        match = _NAME.match(ref)
        if match and int(match[1]) > 0:
            for study in _patient(self.seed, int(match[1]) - 1).studies:
                for image in study.images:
                    if image.name == ref:
                        return simulate(image.params, self.size)
        raise InputError(f"no phantom is called {ref}")


def read(source: Path | None, options: SourceOptions) -> SourceTable:
    """Makes the table of n phantoms.

    Args:
        source: None.
        options: ``n``, ``seed``, ``size`` and ``labels_only`` are used.
    """
    n = options.n or DEFAULT_N
    rows: list[dict[str, str]] = []
    truth: list[dict[str, object]] = []
    size = max(NATIVE_PX, options.size)
    patients = 0
    while len(rows) < n:
        _append(sample_patient(options.seed, patients), rows, truth)
        patients += 1
    return SourceTable(
        table=pd.DataFrame(rows[:n], dtype=str),
        labels=LABELS,
        namespace=f"phantom-{options.seed}",
        patients=True,
        source=SIMULATED,
        licence="Apache-2.0",
        opener=None if options.labels_only else PhantomOpener(options.seed, size),
        sidecars={"truth.csv": pd.DataFrame(truth[:n])},
        notes={"patients": patients, "native_px": size},
    )


def _append(patient: Patient, rows: list[dict[str, str]], truth: list[dict[str, object]]) -> None:
    """Adds a patient's images to the table and to the ground truth."""
    for study in patient.studies:
        sections = dict(part.split(": ", 1) for part in study.report.split("\n\n") if ": " in part)
        for image in study.images:
            rows.append(
                {
                    "image_ref": image.name,
                    "patient_id": patient.patient_id,
                    "study_id": study.study_id,
                    "view": image.params.view,
                    "sex": patient.anatomy.sex,
                    "age": str(patient.anatomy.age),
                    "report": study.report,
                    "findings": sections.get("FINDINGS", ""),
                    "impression": sections.get("IMPRESSION", ""),
                    **study.labels,
                }
            )
            truth.append(
                {
                    "image_ref": image.name,
                    "view": image.params.view,
                    **{k: round(v, 6) for k, v in truth_row(image.params).items()},
                    **{f"drawn_{name}": int(study.truth[name]) for name in LABELS},
                }
            )
