"""Procedural chest radiographs with known geometry: simulator, population, reports.

`sample_patient` draws a person with studies and reports, `simulate` turns the parameters of an
image into pixels, and `truth_row` gives its geometry. Numbers only; no real image is involved.
"""

from cxrtool.phantom.params import LABELS, Findings, PhantomParams
from cxrtool.phantom.population import sample_patient
from cxrtool.phantom.render import simulate
from cxrtool.phantom.truth import truth_row

__all__ = ["LABELS", "Findings", "PhantomParams", "sample_patient", "simulate", "truth_row"]
