"""Report labeling measured: quality on public text, speed, memory.

    python benchmarks/reports.py [PART...] [--reference openi_reference.csv] [--negex negex.csv]

Reads the 3,955 Open-i reports inside the torchxrayvision wheel. Parts (default: all):

``speed``    reports a second of one core (processor time): labels alone, with evidence; where words
             are new and where they are known; as a ratio to a tokenizing loop of spaCy
``workers``  the whole command over ``--scaling`` reports with 1 and with 2 workers
``large``    the whole command over ``--reports`` reports (MIMIC-CXR has 227,835) with 2 workers:
             time and peak memory of all its processes
``quality``  scores against the references, which are not part of the project
``commas``   share of reports whose labels change where full stops become commas

For ``workers`` and ``large`` the corpus is repeated with ids and words of its own every time.
Beside wall time stands the processor time of all processes, which does not depend on other users.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import gc
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import spacy

from cxrtool.core.errors import InputError
from cxrtool.reports import Labeler, assert_mention
from cxrtool.reports.sources import read_reports

PARTS = ("speed", "workers", "large", "quality", "commas")
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "reports"


def _stop(error: InputError, study: str) -> None:
    raise error


def corpus() -> dict[str, str]:
    """Study -> text of all Open-i reports."""
    spec = importlib.util.find_spec("torchxrayvision")
    if spec is None or spec.origin is None:
        raise SystemExit("this benchmark needs torchxrayvision (pip install torchxrayvision)")
    archive = Path(spec.origin).parent / "data" / "NLMCXR_reports.tgz"
    return {report.study: report.text for report in read_reports(archive, _stop)}


def speed(texts: dict[str, str]) -> None:
    """Reports a second of processor time, beside a tokenizing loop of spaCy; best of five in turn.

    Every round begins with a pipeline and labelers that know no word; the second pass of a labeler
    knows them all. Of a checkout beside this one: PYTHONPATH=CHECKOUT python benchmarks/reports.py.
    """
    seconds: dict[str, list[float]] = {}

    def measure(name: str, results: Iterable[object]) -> None:
        gc.collect()
        gc.disable()  # as timeit does: a full collection walks through all of pandas and spaCy
        started = time.process_time()
        for _ in results:
            pass
        seconds.setdefault(name, []).append(time.process_time() - started)
        gc.enable()

    for _ in range(5):
        measure('spacy.blank("en")', map(spacy.blank("en").tokenizer, texts.values()))
        for evidence in (False, True):
            labeler = Labeler()
            for words in ("new", "known"):
                name = f"{words} words, {'evidence' if evidence else 'labels only'}"
                measure(name, labeler.label_all(texts.values(), evidence=evidence))
    base = min(seconds['spacy.blank("en")'])
    for name, times in seconds.items():
        best = min(times)
        rate = f"{len(texts) / best:7,.0f} reports/s"
        print(f"{name:24s} {rate} on one core, {best / base:.2f} of the tokenizing loop")


class Cost(NamedTuple):
    """What a command and all processes below it took."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def tree(pid: int) -> list[int]:
    """A process and all below it."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rsplit(")", 1)[1].split()[1])
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def measured(words: list[str]) -> Cost:
    """Runs a command. Memory: PSS, which shares out what processes share, summed at one moment."""
    tick = os.sysconf("SC_CLK_TCK")
    cpu: dict[int, float] = {}
    peak = 0.0
    started = time.monotonic()
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        now = 0.0
        for pid in tree(process.pid):
            with contextlib.suppress(OSError, IndexError):
                fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
                cpu[pid] = (int(fields[11]) + int(fields[12])) / tick
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
                now += int(rollup.split("\nPss:", 1)[1].split()[0]) / 1024
        peak = max(peak, now)
        time.sleep(0.5)
    if process.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {process.returncode}")
    return Cost(time.monotonic() - started, sum(cpu.values()), peak)


def write_table(path: Path, texts: dict[str, str], n: int) -> None:
    """A table of ``n`` reports: the corpus again and again, every time with words of its own."""
    with open(path, "w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("study_id", "patient_id", "report"))
        known = list(texts.values())
        for i in range(n):
            copy, k = divmod(i, len(known))
            writer.writerow((i, i // 3, known[k].replace("XXXX", f"word{copy}")))


def extraction(texts: dict[str, str], n: int, workers: int) -> Cost:
    """``cxr extract-reports`` over ``n`` reports."""
    with tempfile.TemporaryDirectory(prefix="cxr-bench-") as folder:
        table = Path(folder, "reports.csv")
        write_table(table, texts, n)
        cxr = [sys.executable, "-m", "cxrtool", "extract-reports", str(table), "-q"]
        return measured([*cxr, "-o", str(Path(folder, "out")), "--workers", str(workers)])


def scaling(texts: dict[str, str], n: int) -> None:
    """One worker against two."""
    one, two = (extraction(texts, n, workers) for workers in (1, 2))
    for workers, cost in ((1, one), (2, two)):
        print(
            f"{workers} worker(s), {n:,} reports: {cost.wall_s:.1f} s, {n / cost.wall_s:,.0f} "
            f"reports/s, processor time {cost.cpu_s:.1f} s, peak {cost.peak_mb:.0f} MB"
        )
    print(
        f"2 workers are {one.wall_s / two.wall_s:.2f} times as fast as 1 by the clock, "
        f"by processor time, as with two free cores, {2 * one.cpu_s / two.cpu_s:.2f}"
    )


def large(texts: dict[str, str], n: int) -> None:
    """A corpus of the size of MIMIC-CXR."""
    cost = extraction(texts, n, 2)
    print(
        f"{n:,} reports, 2 workers: {cost.wall_s:.0f} s, processor time {cost.cpu_s:.0f} s, "
        f"peak {cost.peak_mb:.0f} MB of all processes; load {os.getloadavg()[0]:.1f} on "
        f"{os.cpu_count()} cores"
    )


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


def commas(texts: dict[str, str]) -> None:
    """Labels of every report as it is, and with its full stops turned into commas."""
    labeler = Labeler()
    changed = lost = 0
    for text in texts.values():
        joined = re.sub(r"\.(?=\s)", ",", text)
        one, two = (labeler.label(t, evidence=False).values for t in (text, joined))
        changed += one != two
        names = set(one) - {labeler.rules.no_finding}
        lost += any(one[name] == 1 != two[name] for name in names)
    share = 100 * changed / len(texts)
    print(f"full stops as commas: {changed:,} of {len(texts):,} reports change ({share:.1f} %),")
    print(f"  of which {lost:,} lose a positive label")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], default=PARTS)
    parser.add_argument("--reference", type=Path, default=SHARED / "openi_reference.csv")
    parser.add_argument("--negex", type=Path, default=SHARED / "negex.csv")
    parser.add_argument("--scaling", type=int, default=40_000)
    parser.add_argument("--reports", type=int, default=227_000)
    args = parser.parse_args()
    texts = corpus()
    if "speed" in args.parts:
        speed(texts)
    if "workers" in args.parts:
        scaling(texts, args.scaling)
    if "large" in args.parts:
        large(texts, args.reports)
    if "quality" in args.parts and args.reference.is_file():
        quality(texts, args.reference)
    if "quality" in args.parts and args.negex.is_file():
        negex(args.negex)
    if "commas" in args.parts:
        commas(texts)


if __name__ == "__main__":
    main()
