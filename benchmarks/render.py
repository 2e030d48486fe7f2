"""The pages of docs/results: their tables and figures, from small files that the runs have left.

    python benchmarks/render.py                        fill the marked blocks of the pages
    python benchmarks/render.py --check                ends with 1 where a page is another one
    python benchmarks/render.py collect STUDY FOLDER   keep what a finished study has found

`collect` reads the run directories below FOLDER and writes docs/results/data/STUDY.json: the
answer, scores of arms, differences, attacks, the FORMAT of every stage, machine, times and the
command that the study's page has fixed. No images, paths, host names, ids or texts of reports.

A page has blocks ``<!-- results: KIND WORD... -->`` to ``<!-- end -->``. Kinds: `table` (of the
front page, from studies.toml), `study NAME` (all that a study has found), and `measured DATE COMMIT
STAGE=FORMAT...` above figures whose files were not kept. Where the FORMAT of a stage has been
raised since, a study's figures are not shown, and a block `measured` is refused: drop the section,
or, where the new FORMAT cannot change its figures, write the new number.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import html
import json
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cxrtool import cli

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "results"
BLOCK = re.compile(r"(<!-- results: (.*?) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
COMMAND = re.compile(r"```\w*\n([^`]*bash examples/[^`]*)```")
MEAN = "mean over labels"
DIFFERENCE = [
    *("a", "b", "primary", "row", "metric", "value", "low", "high"),
    *("p", "verdict", "detectable", "about"),
]
NAMES = {"auroc": "AUROC", "average_precision": "Average precision", "accuracy": "Accuracy"}
NUMBERS = {"value", "low", "high", "p", "detectable"}


class ResultsError(Exception):
    """A page or a file that cannot be used, in one line."""


# --- collecting -----------------------------------------------------------------------------------


def collect(study: str, folder: Path) -> dict[str, Any]:
    """What a finished study has found, small enough to keep."""
    runs = list(finished(folder))
    records = {path: read(path / "run.json") for path in runs}
    stages = {path: str(record["identity"]["stage"]) for path, record in records.items()}
    reports = [path for path in runs if stages[path] == "evaluate-classifiers"]
    if not reports:
        raise ResultsError(
            f"{folder} has no finished report of classifiers: finish the study first"
        )
    formats: dict[str, set[int]] = {}
    for path, record in records.items():
        formats.setdefault(stages[path], set()).add(int(record["identity"]["format"][1]))
    mixed = sorted(stage for stage, found in formats.items() if len(found) > 1)
    if mixed:
        raise ResultsError(f"{folder} has runs of several FORMATs of {', '.join(mixed)}")
    made = [record["provenance"] for record in records.values() if record.get("provenance")]
    attacks = [path for path in runs if stages[path] == "evaluate-privacy"]
    return {
        "study": study,
        "command": fixed_command(RESULTS / f"{study}.md"),
        "begun": min(record["started"] for record in made)[:16],
        "ended": max(record["started"] for record in made)[:16],
        "collected": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": {"processor": processor(), "cores": made[0]["cores"]},
        "versions": made[0]["versions"],
        "formats": {stage: min(found) for stage, found in sorted(formats.items())},
        "runs": dict(sorted(Counter(stages.values()).items())),
        "seconds": round(sum(read(path / "result.json").get("seconds") or 0 for path in runs)),
        "reports": {path.relative_to(folder).as_posix(): findings(path) for path in reports},
        "attacks": {path.name.removeprefix("privacy-"): attack(path) for path in attacks},
    }


def finished(folder: Path) -> Iterator[Path]:
    """The run directories below a folder that have come to their end; not those of --smoke."""
    for result in sorted(folder.rglob("result.json")):
        smoke = "smoke" in result.relative_to(folder).parts
        if not smoke and (result.parent / "run.json").is_file():
            yield result.parent


def read(path: Path) -> Any:
    """A JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def fixed_command(page: Path) -> str:
    """The command that the page of a study has fixed before the runs."""
    if not page.is_file():
        raise ResultsError(f"no page {page}: write down there what the study compares, first")
    found = COMMAND.search(page.read_text(encoding="utf-8"))
    if found is None:
        raise ResultsError(f"{page} fixes no command: a block with `bash examples/...`")
    return found[1].strip()


def processor() -> str:
    """Name of the processor."""
    information = Path("/proc/cpuinfo")
    names = (
        re.findall(r"model name\s*: (.*)", information.read_text()) if information.is_file() else []
    )
    return names[0] if names else "unknown"


def findings(report: Path) -> dict[str, Any]:
    """Answer, arms and differences of a report of classifiers."""
    with (report / "comparison.csv").open(newline="", encoding="utf-8") as stream:
        rows = [
            {key: value_of(key, row[key]) for key in DIFFERENCE} for row in csv.DictReader(stream)
        ]
    text = (report / "report.md").read_text(encoding="utf-8")
    summary = read(report / "result.json")["summary"]
    return {
        "answer": summary["answer"],
        "images": summary["images"],
        "labels": len(summary["labels"]),
        "arms": arms(text),
        "differences": [
            row
            for row in rows
            if row["value"] is not None and (row["row"] == MEAN or row["metric"] == "auroc")
        ],
    }


def value_of(key: str, text: str) -> Any:
    """A cell of comparison.csv."""
    if key == "primary":
        return text == "True"
    if key in NUMBERS:
        return round(float(text), 4) if text else None
    return text


def arms(report: str) -> list[list[str]]:
    """Name, runs and mean AUROC of each arm, as the report has them."""
    lines = iter(report.splitlines())
    for line in lines:
        if line.startswith("| arm | runs |"):
            break
    next(lines, None)
    out = []
    for line in lines:
        if not line.startswith("|"):
            break
        out.append([cell.strip() for cell in line.strip("|").split("|")][:3])
    return out


def attack(folder: Path) -> dict[str, Any]:
    """What attacks on a generator have found."""
    record = read(folder / "metrics.json")
    member = record["membership"]
    near = [
        {key: row[key] for key in ("space", "nearer_than_limit", "generated_images")}
        for row in record["nearness"]
    ]
    return {"membership": {key: member[key] for key in ("auroc", "low", "high")}, "near": near}


# --- rendering ------------------------------------------------------------------------------------


def today() -> dict[str, int]:
    """The FORMAT of every stage."""
    return {name: int(command.FORMAT) for name, command in cli.stages().items()}


def raised(formats: dict[str, int]) -> list[str]:
    """The stages whose FORMAT is another one now."""
    now = today()
    return [
        f"`{stage}` {was} (now {now.get(stage, 'gone')})"
        for stage, was in formats.items()
        if now.get(stage) != was
    ]


def kept(study: str) -> dict[str, Any] | None:
    """What a study has found; None where it has not been run."""
    path = RESULTS / "data" / f"{study}.json"
    return read(path) if path.is_file() else None


def differences_of(data: dict[str, Any]) -> list[dict[str, Any]]:
    """The differences of all reports of a study."""
    return [row for report in data["reports"].values() for row in report["differences"]]


def primary(data: dict[str, Any], chosen: str, metric: str) -> dict[str, Any] | None:
    """The one comparison that was named before the runs: "A minus B", else the report's own."""
    for row in differences_of(data):
        named = f"{row['a']} minus {row['b']}" == chosen if chosen else row["primary"]
        if named and (row["row"], row["metric"]) == (MEAN, metric):
            return row
    return None


def interval(row: dict[str, Any]) -> str:
    """Value and interval."""
    known = row["low"] is not None
    told = f"[{row['low']:+.3f}, {row['high']:+.3f}]" if known else "(no interval)"
    return f"{row['value']:+.3f} {told}".replace("-", "−")


def studies() -> dict[str, Any]:
    """Question and what would change the answer, of every study, in the order of the table."""
    return tomllib.loads((RESULTS / "studies.toml").read_text(encoding="utf-8"))


def front() -> str:
    """The table of the front page."""
    lines = [
        "| Question | Answer | Difference [95 %] | What would change it |",
        "|---|---|---|---|",
    ]
    for name, study in studies().items():
        data = kept(name)
        waiting = f"**not run yet** ({study['hours']} h)" if "hours" in study else "**not run yet**"
        answer, difference = study.get("before", waiting), study.get("interval", "–")
        if data is not None and raised(data["formats"]):
            answer, difference = "**to be run again**", "–"
        elif data is not None:
            row = primary(data, study.get("primary", ""), study.get("metric", "auroc"))
            if row is None:
                there = {f"{r['a']} minus {r['b']}" for r in differences_of(data)}
                raise ResultsError(
                    f"studies.toml: primary of [{name}] must be one of {', '.join(sorted(there))}"
                )
            answer, difference = study.get("answer", row["verdict"]), interval(row)
        cells = [f"[{study['question']}]({study.get('page', name)}.md)", answer, difference]
        lines.append("| " + " | ".join([*cells, study["changes"]]) + " |")
    return "\n".join(lines)


def facts(data: dict[str, Any]) -> str:
    """Where and with what it was run."""
    formats = ", ".join(f"`{stage}` {number}" for stage, number in data["formats"].items())
    runs = ", ".join(f"{count} `{stage}`" for stage, count in data["runs"].items())
    machine = data["machine"]
    return (
        f"Run from {data['begun'].replace('T', ' ')} to {data['ended'].replace('T', ' ')} UTC on"
        f" {machine['cores']} cores ({machine['processor']}),"
        f" torch {data['versions'].get('torch', '?')}. The runs took"
        f" {data['seconds'] / 60:.0f} minutes in all, by the clock.\n\n"
        f"Runs: {runs}.\n\nFORMATs: {formats}."
    )


def table(head: list[str], rows: list[list[str]]) -> str:
    """Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def differences(data: dict[str, Any], metric: str, mean: bool) -> str:
    """Differences of means over labels, or by label; nothing where there is none."""
    out = []
    for row in differences_of(data):
        if (row["row"] == MEAN) != mean or row["metric"] != metric:
            continue
        p = "–" if row["p"] is None else "< .001" if row["p"] < 0.001 else f"{row['p']:.3f}"
        found = "–" if row["detectable"] is None else f"{row['detectable']:.3f}"
        name = f"{row['a']} minus {row['b']}" + (" (primary)" if row["primary"] else "")
        out.append([name, *([] if mean else [row["row"]]), interval(row), p, row["verdict"], found])
    if not out:
        return ""
    label = [] if mean else ["Label"]
    head = ["Comparison", *label, f"{NAMES.get(metric, metric)} [95 %]", "p", "Verdict"]
    return table([*head, "Would be found"], out)


def attacks(data: dict[str, Any]) -> str:
    """What attacks on the generators have found."""
    rows = []
    for name, found in data["attacks"].items():
        member = found["membership"]
        near = ", ".join(
            f"{n['nearer_than_limit']} of {n['generated_images']:,} ({n['space']})"
            for n in found["near"]
        )
        told = f"{member['auroc']:.3f} [{member['low']:.3f}, {member['high']:.3f}]"
        rows.append([name, told, near])
    head = [
        "Generator",
        "Membership, AUROC",
        "Nearer to a training image than held-out ones ever are",
    ]
    return table(head, rows)


def forest(data: dict[str, Any], metric: str) -> str:
    """The differences of means as a figure (SVG): filled where there is evidence."""
    rows = [
        row
        for row in differences_of(data)
        if (row["row"], row["metric"]) == (MEAN, metric) and row["low"] is not None
    ]
    reach = max([0.01, *(abs(row[end]) for row in rows for end in ("low", "high"))])
    left, width, step, color = 320, 380, 30, "#00695c"
    height = step * len(rows) + 50

    def x(value: float) -> str:
        return f"{left + width / 2 * (1 + value / reach):.1f}"

    def text(place: str, y: int, words: str, anchor: str = "middle") -> str:
        return f'<text x="{place}" y="{y}" text-anchor="{anchor}">{html.escape(words)}</text>'

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 30} {height}"'
        ' font-family="sans-serif" font-size="14" fill="#333">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<path d="M{x(0)} 5V{height - 40}" stroke="#777"/>',
    ]
    for k, row in enumerate(rows):
        y = step * k + 20
        fill = color if row["verdict"].startswith("evidence") else "white"
        line = f"M{x(row['low'])} {y}H{x(row['high'])}"
        out += [
            text(str(left - 12), y + 5, f"{row['a']} minus {row['b']}", "end"),
            f'<path d="{line}" stroke="{color}" stroke-width="2"/>',
            f'<circle cx="{x(row["value"])}" cy="{y}" r="5" fill="{fill}" stroke="{color}"/>',
        ]
    out += [text(x(value), height - 22, f"{value:+.3f}") for value in (-reach, reach)]
    out.append(text(x(0), height - 22, "0"))
    name = NAMES.get(metric, metric)
    return "\n".join([*out, text(x(0), height - 4, f"difference in {name}"), "</svg>", ""])


def measured(words: list[str]) -> str:
    """The line above figures whose files were not kept."""
    date, commit, *pairs = words
    formats = {stage: int(number) for stage, _, number in (pair.partition("=") for pair in pairs)}
    if old := raised(formats):
        raise ResultsError(
            f"figures of {date} stem from {', '.join(old)}: drop them, or write the new number"
            " where that change cannot touch them"
        )
    names = ", ".join(f"`{stage}` {number}" for stage, number in formats.items())
    still = f" Nothing that can change them has changed up to {names}." if names else ""
    return f"*Measured on {date} with the code of {commit}; the runs' files were not kept.{still}*"


def study_of(name: str, figures: dict[Path, str]) -> str:
    """All that a study has found."""
    data = kept(name)
    if data is None:
        return "*Not run yet.*"
    if old := raised(data["formats"]):
        return f"*To be run again: the figures stem from {', '.join(old)}. They are not shown.*"
    metric = studies()[name].get("metric", "auroc")
    figures[RESULTS / "figures" / f"{name}.svg"] = forest(data, metric)
    rows = [row for report in data["reports"].values() for row in report["arms"]]
    parts = [
        *(report["answer"] for report in data["reports"].values()),
        f"![Differences with their 95 % intervals](figures/{name}.svg)",
        "Filled: evidence. The line at 0 is no difference.",
        differences(data, metric, mean=True),
        table(["Arm", "Runs", "Mean AUROC [95 %]"], rows),
    ]
    if by_label := differences(data, "auroc", mean=False):
        parts += ["### By label", by_label]
    if data["attacks"]:
        parts += ["### Attacks on the generators", attacks(data)]
    return "\n\n".join([*parts, "### Where and how", facts(data)])


def filled(words: list[str], figures: dict[Path, str]) -> str:
    """The content of a block."""
    kind, *rest = words
    if kind == "table":
        return front()
    if kind == "measured":
        return measured(rest)
    if kind == "study":
        return study_of(rest[0], figures)
    raise ResultsError(f"no block is called {kind!r}")


def rendered() -> dict[Path, str]:
    """Every file that this makes, with its content."""
    figures: dict[Path, str] = {}
    out = {}
    for page in sorted(RESULTS.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        try:
            out[page] = BLOCK.sub(
                lambda block: f"{block[1]}\n{filled(block[2].split(), figures)}\n\n{block[4]}", text
            )
        except ResultsError as error:
            raise ResultsError(f"{page.relative_to(ROOT)}: {error}") from None
    return out | figures


def differing() -> list[Path]:
    """Files that are not what this makes."""
    return [
        path
        for path, text in rendered().items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]


def main() -> int:
    """Collect, check or write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; end with 1 where a page differs"
    )
    parts = parser.add_subparsers(dest="part")
    collecting = parts.add_parser("collect", help="keep what a finished study has found")
    collecting.add_argument("study", help="the name of its page in docs/results")
    collecting.add_argument("folder", type=Path, help="its work folder")
    words = parser.parse_args()
    try:
        if words.part == "collect":
            text = json.dumps(collect(words.study, words.folder), indent=1, ensure_ascii=False)
            path = RESULTS / "data" / f"{words.study}.json"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text + "\n", encoding="utf-8")
            print(path)
            return 0
        if words.check:
            for path in (old := differing()):
                print(
                    f"{path.relative_to(ROOT)} differs: python benchmarks/render.py",
                    file=sys.stderr,
                )
            return int(bool(old))
        for path, text in rendered().items():
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except ResultsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
