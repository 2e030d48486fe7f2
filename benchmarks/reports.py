"""Report labeling measured: quality on public text, speed, memory.

    python benchmarks/reports.py [--reference openi_reference.csv] [--negex negex.csv] [--copies 10]

Reads the 3,955 Open-i reports inside the torchxrayvision wheel. Speed is processor time of one
process: labels alone and with evidence, over all reports (each text once, in archive order). The
memory figure repeats the corpus with changed words ``--copies`` times, so that nothing is cached.
The references are not part of the project; without them only speed and memory are measured.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import resource
import time
from collections.abc import Iterator
from pathlib import Path

from cxrtool.errors import InputError
from cxrtool.reports import Labeler, assert_mention
from cxrtool.reports.sources import read_reports

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "reports"


def _stop(error: InputError, study: str) -> None:
    raise error


def corpus() -> dict[str, str]:
    """Study -> text of all Open-i reports."""
    spec = importlib.util.find_spec("torchxrayvision")
    if spec is None or spec.origin is None:
        raise SystemExit("this benchmark needs torchxrayvision (pip install 'cxrtool[xrv]')")
    archive = Path(spec.origin).parent / "data" / "NLMCXR_reports.tgz"
    return {report.study: report.text for report in read_reports(archive, _stop)}


def speed(texts: dict[str, str]) -> None:
    """Reports a second of processor time."""
    for evidence in (False, True):
        labeler = Labeler()
        started = time.process_time()
        for _ in labeler.label_all(texts.values(), evidence=evidence):
            pass
        seconds = time.process_time() - started
        print(f"evidence {'on ' if evidence else 'off'}: {len(texts) / seconds:,.0f} reports/s")


def memory(texts: dict[str, str], copies: int) -> None:
    """Peak resident memory over ``copies`` times the corpus, every copy with words of its own."""

    def many() -> Iterator[str]:
        for i in range(copies):
            for text in texts.values():
                yield text.replace("XXXX", f"word{i}")

    started, count = time.process_time(), 0
    for _ in Labeler().label_all(many()):
        count += 1
    seconds = time.process_time() - started
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{count:,} reports in {seconds:.0f} s of processor time, peak {peak_mb:.0f} MB")


def quality(texts: dict[str, str], reference: Path) -> None:
    """Scores of label 1 against a reference; blank cells are left out."""
    labeler = Labeler()
    counts = {name: [0, 0, 0] for name in labeler.rules.observations}
    for row in csv.DictReader(reference.open(encoding="utf-8")):
        labels = labeler.label(texts[row["uid"]], evidence=False)
        for name, count in counts.items():
            if row[name]:
                ours, theirs = labels[name] == 1, row[name] == "1"
                count[0] += ours and theirs
                count[1] += ours and not theirs
                count[2] += theirs and not ours
    print(f"{'observation':28s} precision recall    F1    n")
    f1s = []
    for name, (tp, fp, fn) in counts.items():
        if tp + fn:
            f1s.append(2 * tp / (2 * tp + fp + fn))
            scores = f"{tp / max(1, tp + fp):9.3f} {tp / (tp + fn):6.3f} {f1s[-1]:5.3f}"
            print(f"{name:28s} {scores} {tp + fn:4d}")
    print(f"{'macro F1':28s} {'':16s} {sum(f1s) / len(f1s):5.3f}")


def negex(path: Path) -> None:
    """F1 for Negated of the NegEx kit; phrases that are not in their sentence count as affirmed."""
    tp = fp = fn = 0
    for row in csv.DictReader(path.open(encoding="utf-8")):
        theirs = row["negation"] == "Negated"
        inside = " ".join(row["phrase"].lower().split()) in " ".join(
            row["sentence"].lower().split()
        )
        ours = inside and assert_mention(row["sentence"], row["phrase"]).value == "negative"
        tp, fp, fn = tp + (ours and theirs), fp + (ours and not theirs), fn + (theirs and not ours)
    print(f"NegEx kit, F1 for Negated: {2 * tp / (2 * tp + fp + fn):.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reference", type=Path, default=SHARED / "openi_reference.csv")
    parser.add_argument("--negex", type=Path, default=SHARED / "negex.csv")
    parser.add_argument("--copies", type=int, default=10)
    args = parser.parse_args()
    texts = corpus()
    speed(texts)
    memory(texts, args.copies)
    if args.reference.is_file():
        quality(texts, args.reference)
    if args.negex.is_file():
        negex(args.negex)


if __name__ == "__main__":
    main()
