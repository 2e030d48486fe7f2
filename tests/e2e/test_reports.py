"""extract-reports and evaluate labels as a person calls them."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import gzip
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pandas as pd
import pytest

from cxrtool import cli
from cxrtool.core import runs
from cxrtool.core.runs.execution import execute
from cxrtool.data.labels import CHEXPERT, NIH
from cxrtool.data.manifest import DatasetInfo, DatasetWriter, load_dataset

evaluate_labels = cli.stages()["evaluate-labels"]
extract_reports = cli.stages()["extract-reports"]

TABLE = (
    "study_id,patient_id,report\n"
    '007,p1,"FINDINGS: Small left effusion, ""new"".\nNo pneumothorax.\nIMPRESSION: Effusion."\n'
    "8,p1,The lungs are clear. Heart size normal.\n"
    "9,p2,\n"
    "10,p2,Possible pneumonia. The heart is enlarged.\n"
)


def cxr(*words: object, stdin: str = "") -> SimpleNamespace:
    """Runs ``cxr`` in this process; a process of its own costs seconds of imports."""
    out, err = io.StringIO(), io.StringIO()
    spool = io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8")
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        mock.patch.object(sys, "stdin", spool),
    ):
        code = cli.main([str(word) for word in words])
    return SimpleNamespace(returncode=code, stdout=out.getvalue(), stderr=err.getvalue())


def table_of(path: Path) -> dict[str, dict[str, str]]:
    rows = csv.DictReader(path.open(encoding="utf-8", newline=""))
    return {row["study_id"]: row for row in rows}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "reports.csv"
    path.write_text(TABLE, encoding="utf-8")
    return path


def test_table_to_labels_evidence_and_texts(source: Path, tmp_path: Path) -> None:
    done = cxr("extract-reports", source, "-o", tmp_path / "out", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["counts"] == {"rejected": 0, "empty": 1}
    assert result["summary"]["reports"] == 4
    assert result["summary"]["labels"]["Pleural Effusion"] == {"1": 1, "0": 0, "-1": 0, "blank": 3}
    rows = table_of(tmp_path / "out" / "manifest.csv")
    assert list(rows) == ["007", "8", "9", "10"]
    first = rows["007"]
    assert (first["Pleural Effusion"], first["Pneumothorax"], first["patient_id"]) == (
        "1",
        "0",
        "p1",
    )
    assert first["findings"] == 'Small left effusion, "new". No pneumothorax.'
    assert (first["impression"], first["rules"]) == ("Effusion.", "small left effusion")
    assert {rows["9"][name] for name in CHEXPERT} == {""}
    assert (rows["8"]["No Finding"], rows["8"]["Cardiomegaly"]) == ("1", "0")
    assert (rows["10"]["Pneumonia"], rows["10"]["Cardiomegaly"]) == ("-1", "1")
    for line in (tmp_path / "out" / "evidence.jsonl").read_text(encoding="utf-8").splitlines():
        item = json.loads(line)
        text = rows[item["study_id"]]["report"]
        assert text[item["start"] : item["end"]] == item["text"]
        assert " ".join(item["text"].split()) in item["sentence"]
        assert item["sentence_number"] >= 1
    assert "1 report is empty" in done.stderr
    again = cxr("extract-reports", source, "-o", tmp_path / "out", "-q")
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")


def test_streams_from_stdin_to_stdout(source: Path, tmp_path: Path) -> None:
    folder = cxr("extract-reports", "-", "-o", tmp_path / "out", stdin=TABLE)
    assert folder.returncode == 0, folder.stderr
    lines = "\n".join(
        json.dumps({k: r[k] for k in ("study_id", "patient_id", "report")})
        for r in csv.DictReader(io.StringIO(TABLE))
    )
    want = (tmp_path / "out" / "manifest.csv").read_text(encoding="utf-8")
    for text in (TABLE, lines):
        done = cxr("extract-reports", "-", "-o", "-", "-q", stdin=text)
        assert done.returncode == 0, done.stderr
        assert done.stdout == want


@pytest.mark.parametrize("form", ["json", "jsonl", "parquet"])
def test_tables_go_in_and_out_as_json_and_parquet(source: Path, tmp_path: Path, form: str) -> None:
    made = cxr("extract-reports", source, "-o", tmp_path / "out", "--table", form)
    assert made.returncode == 0, made.stderr
    copy = tmp_path / "out" / f"manifest.{form}"
    rows = table_of(tmp_path / "out" / "manifest.csv")
    if form == "parquet":
        records = pd.read_parquet(copy).astype(object).to_dict("records")
    else:
        text = copy.read_text(encoding="utf-8")
        lines = text.splitlines() if form == "jsonl" else []
        records = [json.loads(line) for line in lines] if lines else json.loads(text)
        streamed = cxr("extract-reports", source, "-o", "-", "--table", form, "-q")
        assert streamed.stdout == text
        mixed = cxr(
            *("extract-reports", source, "-o", "-", "--table", form, "-q"),
            "--texts",
            "random,rules",
        )
        count = mixed.stdout.count('"study_id": "')
        assert (mixed.returncode, count) == (0, 4)
    assert [record["study_id"] for record in records] == list(rows)
    assert (records[0]["Pleural Effusion"], records[0]["patient_id"]) == (1, "p1")
    assert pd.isna(records[2]["Edema"])
    again = cxr("extract-reports", copy, "-o", tmp_path / "again")
    assert again.returncode == 0, again.stderr
    assert table_of(tmp_path / "again" / "manifest.csv") == rows
    if form != "parquet":
        piped = cxr("extract-reports", "-", "-o", "-", "-q", stdin=copy.read_text("utf-8"))
        assert piped.stdout == (tmp_path / "out" / "manifest.csv").read_text(encoding="utf-8")
    else:
        refused = cxr("extract-reports", source, "-o", "-", "--table", form)
        assert refused.returncode == 2
        assert "no text for stdout" in refused.stderr


def test_a_json_array_that_is_cut_or_holds_no_objects(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    for text, message in (
        ('[{"study_id": "1", "report": "Edema."}', "row 2: damaged table: the array has no end"),
        ('[{"study_id": "1", "report": "Edema."}, {"stu', "row 2: not a JSON object"),
        ('[{"study_id": "1", "report": "Edema."}, 7]', "row 2: not a JSON object: a int"),
    ):
        path.write_text(text, encoding="utf-8")
        done = cxr("extract-reports", path, "-o", tmp_path / "o")
        assert done.returncode == 3
        assert message in done.stderr


def test_labels_of_another_data_set(source: Path, tmp_path: Path) -> None:
    done = cxr("extract-reports", source, "-o", tmp_path / "nih", "--ontology", "nih", "-v")
    assert done.returncode == 0, done.stderr
    rows = table_of(tmp_path / "nih" / "manifest.csv")
    columns = [name for name in rows["007"] if name[0].isupper()]
    assert columns == ["No Finding", *NIH]
    assert (rows["007"]["Effusion"], rows["8"]["No Finding"]) == ("1", "1")
    assert "Pleural Effusion" not in done.stderr
    mine = tmp_path / "mine.toml"
    mine.write_text('no_finding = "None"\n[labels]\nFluid = "Pleural Efusion"\n', "utf-8")
    words = ("extract-reports", source, "-o", tmp_path / "own", "--ontology", mine)
    wrong = cxr(*words)
    assert wrong.returncode == 3
    assert "mine.toml: line 3: 'Fluid': unknown observation 'Pleural Efusion'" in wrong.stderr
    mine.write_text('no_finding = "None"\n[labels]\nFluid = "Pleural Effusion"\n', "utf-8")
    assert cxr(*words).returncode == 0
    shown = cxr(*words, "--explain-id", "8")
    assert "None" in shown.stderr
    mine.write_text('no_finding = "None"\n[labels]\nFluid = "Edema"\n', "utf-8")
    assert cxr(*words).returncode == 4, "another file is another run"


def test_bad_rows_stop_or_are_recorded(source: Path, tmp_path: Path) -> None:
    source.write_bytes(TABLE.encode() + b"007,p1,again\n11,p3,na\xefve\n12,p3,Edema.\n")
    done = cxr("extract-reports", source, "-o", tmp_path / "out")
    assert done.returncode == 3
    assert f"{source}, row 6" in done.stderr
    assert "occurs twice" in done.stderr
    done = cxr("extract-reports", source, "-o", tmp_path / "kept", "--skip-bad")
    assert done.returncode == 0, done.stderr
    assert list(table_of(tmp_path / "kept" / "manifest.csv")) == ["007", "8", "9", "10", "12"]
    rejected = list(csv.DictReader((tmp_path / "kept" / "rejected.csv").open(encoding="utf-8")))
    assert [(r["study_id"], r["row"]) for r in rejected] == [("007", "6"), ("11", "7")]
    assert str(tmp_path) not in (tmp_path / "kept" / "rejected.csv").read_text(encoding="utf-8")


def test_options_name_the_columns(source: Path, tmp_path: Path) -> None:
    text = TABLE.replace("study_id", "uid", 1).replace("report", "text", 1)
    source.write_text(text, encoding="utf-8")
    assert cxr("extract-reports", source, "-o", tmp_path / "a").returncode == 3
    words = ("--id-column", "uid", "--text-column", "text")
    done = cxr("extract-reports", source, "-o", tmp_path / "b", *words)
    assert done.returncode == 0, done.stderr
    assert list(table_of(tmp_path / "b" / "manifest.csv")) == ["007", "8", "9", "10"]
    same = cxr(
        "extract-reports",
        source,
        "-o",
        tmp_path / "c",
        "--id-column",
        "uid",
        "--text-column",
        "uid",
    )
    assert same.returncode == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Pas de lésion visible ici.", "nothing was found in 90 % of the reports"),
        (
            "Pas de pneumothorax. Silhouette cardiaque de taille normale. Atélectasie en bande.",
            "no English word was found in 90 % of the reports",
        ),
        ("Kein Pneumothorax, keine Ergüsse. Herz nicht vergrößert.", "no English word was found"),
    ],
)
def test_another_language_is_noticed(tmp_path: Path, text: str, message: str) -> None:
    rows = "".join(f'{i},"{text}"\n' for i in range(9)) + "9,The lungs are clear. No effusion.\n"
    done = cxr("extract-reports", "-", "-o", tmp_path / "o", stdin="study_id,report\n" + rows)
    assert done.returncode == 0
    assert message in done.stderr


def test_english_reports_are_not_doubted(tmp_path: Path) -> None:
    rows = "".join(f"{i},No acute abnormality. Lungs are clear. {i}\n" for i in range(10))
    done = cxr("extract-reports", "-", "-o", tmp_path / "o", stdin="study_id,report\n" + rows)
    assert "warning" not in done.stderr


def test_any_number_of_workers_writes_the_same_bytes(tmp_path: Path) -> None:
    rows = "".join(
        f'{i},p{i % 7},"Small effusion {i}.\nNo edema, pneumothorax {"or mass " * (i % 5)}."\n'
        for i in range(5000)
    )
    source = tmp_path / "r.csv"
    source.write_text("study_id,patient_id,report\n" + rows + "7,p0,again\n", encoding="utf-8")
    words = ("extract-reports", source, "--skip-bad", "-q")
    for n in (1, 2):
        done = cxr(*words, "-o", tmp_path / str(n), "--workers", n)
        assert done.returncode == 0, done.stderr
    for name in ("manifest.csv", "evidence.jsonl", "rejected.csv"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()
    ended = [json.loads((tmp_path / n / "result.json").read_text()) for n in "12"]
    assert ended[0]["summary"] == ended[1]["summary"]
    again = cxr(*words, "-o", tmp_path / "1", "--workers", 2)
    assert (again.returncode, again.stdout) == (0, "")
    streamed = cxr(*words, "-o", "-", "--workers", 2)
    assert streamed.stdout == (tmp_path / "1" / "manifest.csv").read_text(encoding="utf-8")


# ---- bad input, as a person meets it


def packed(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


BAD: dict[str, tuple[bytes | dict[str, bytes], str]] = {
    "bytes.csv": (b"study_id,report\n1,na\xefve\n2,Edema.\n", "row 2, column 'report'"),
    "twice.csv": (b"study_id,report\n2,Edema.\n2,again\n", "row 3: the id '2' occurs twice"),
    "column.csv": (b"study_id,text\n2,Edema.\n", "row 1, column 'report': the column is missing"),
    "cut.csv.gz": (gzip.compress(b"study_id,report\n2,Edema.\n")[:-9], "damaged table"),
    "cut.jsonl": (b'{"study_id": "2", "report": "Edema."}\n{"study', "row 2: not a JSON object"),
    "xml.tgz": ({"a.xml": b"<eCitation>", "2.txt": b"Edema."}, "a.xml: malformed XML"),
    "away.tgz": ({"../a.txt": b"x", "2.txt": b"Edema."}, "leaves the archive's folder"),
    "name.tgz": ({"caf\udce9.txt": b"x", "2.txt": b"Edema."}, "the text is not UTF-8"),
    "no.tgz": (b"this is no archive", "damaged archive"),
    "picture.csv": (b"\x89PNG\r\n\x1a\n\xff\xfe", "not UTF-8"),
}
HOPELESS = ("column.csv", "cut.csv.gz", "no.tgz", "picture.csv")


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_clear_line(tmp_path: Path, name: str) -> None:
    content, message = BAD[name]
    if isinstance(content, dict):
        packed(tmp_path / name, content)
    else:
        (tmp_path / name).write_bytes(content)
    for words, code in (((), 3), (("--skip-bad",), 3 if name in HOPELESS else 0)):
        done = cxr("extract-reports", tmp_path / name, "-o", tmp_path / f"out{len(words)}", *words)
        assert done.returncode == code, done.stderr
        lines = done.stderr.splitlines()
        assert "Traceback" not in done.stderr
        assert "bug" not in done.stderr
        if code == 3:
            assert sum(line.startswith("error:") for line in lines) == 1
            assert message in done.stderr
            assert name in done.stderr
        else:
            assert "1 report was left out, see rejected.csv" in done.stderr
            assert list(table_of(tmp_path / "out1" / "manifest.csv")) == ["2"]
            rejected = (tmp_path / "out1" / "rejected.csv").read_text(encoding="utf-8")
            assert len(rejected.splitlines()) == 2


def test_a_megabyte_of_report_is_labeled(tmp_path: Path) -> None:
    text = "There is a small effusion. No pneumothorax or edema. " * 20_000
    source = tmp_path / "long.csv"
    source.write_text(f"study_id,report\n1,{text}\n2,Edema.\n", encoding="utf-8")
    done = cxr("extract-reports", source, "-o", tmp_path / "out", "-q")
    assert done.returncode == 0, done.stderr
    row = table_of(tmp_path / "out" / "manifest.csv")["1"]
    assert (row["Pleural Effusion"], row["Pneumothorax"], row["Edema"]) == ("1", "0", "0")


# ---- explained reports


def test_explained_reports_are_data_only_where_nothing_else_is(
    source: Path, tmp_path: Path
) -> None:
    alone = cxr("extract-reports", source, "--explain")
    assert alone.returncode == 0, alone.stderr
    assert "[+ effusion]" in alone.stdout.replace("Small left ", "").lower()
    assert "labels: [- " in alone.stdout
    assert "10\n" not in alone.stdout, "the first three only"
    piped = cxr("extract-reports", "-", "--explain-id", "10", stdin=TABLE)
    assert "\n10\n" in piped.stdout
    assert "{Possible} [? pneumonia]" in piped.stdout
    assert "\n007\n" not in piped.stdout
    words = ("extract-reports", source, "-o", tmp_path / "out", "--explain-id", "8")
    for state in ("done", "up to date"):
        done = cxr(*words)
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"{tmp_path / 'out'}\n", state
        assert "\n8\n" in done.stderr
        assert "[= lungs are clear]" in done.stderr
    verbose = cxr(*words, "-v")
    assert "= No Finding: 'lungs are clear', rule " in verbose.stderr


def test_explaining_what_is_not_there(source: Path, tmp_path: Path) -> None:
    gone = cxr("extract-reports", source, "--explain-id", "7")
    assert gone.returncode == 3
    assert "no report has the id '7'" in gone.stderr
    assert cxr("extract-reports", source, "-o", "-", "--explain").returncode == 2
    assert cxr("extract-reports", source).returncode == 2


@pytest.mark.parametrize("workers", [1, 2])
def test_a_page_of_a_random_sample(source: Path, tmp_path: Path, workers: int) -> None:
    source.write_text(TABLE + "11,p1,No edema <script>alert(1)</script>.\n", encoding="utf-8")
    words = ("extract-reports", source, "--explain-sample", 3, "--workers", workers, "-q")
    assert cxr(*words, "-o", tmp_path / "a").returncode == 0
    assert cxr(*words, "-o", tmp_path / "b", "--seed", 5).returncode == 0
    pages = [(tmp_path / name / "explain.html").read_text(encoding="utf-8") for name in "ab"]
    assert all(page.count("<article>") == 3 for page in pages)
    assert pages[0] != pages[1]
    assert "3 of 5 reports, drawn at random (seed 0)." in pages[0]
    assert not any("<script" in page for page in pages)
    everything = cxr(*words, "-o", tmp_path / "c", "--explain-sample", 9)
    assert everything.returncode == 0
    page = (tmp_path / "c" / "explain.html").read_text(encoding="utf-8")
    assert "5 of 5 reports, all of them." in page
    assert "&lt;script&gt;" in page


# ---- dataset directories


def dataset(folder: Path, **columns: list[str]) -> Path:
    labels = ("Edema", "Hernia")
    info = DatasetInfo(
        labels=labels,
        covered=(False, True),
        size=8,
        fit="crop",
        kernel="lanczos",
        namespace="t",
        patients=True,
        source="test",
    )
    run = runs.Run.for_test(folder)
    writer = DatasetWriter(run, info)
    n = len(columns["report"])
    names = [f"images/{i}.png" for i in range(n)]
    for i, name in enumerate(names):
        writer.add_image(name, np.full((8, 8), i, dtype=np.uint8))
    base = {
        "image": names,
        "patient_id": [f"p{i // 2}" for i in range(n)],
        "study_id": [f"s{i // 2}" for i in range(n)],
        "source": ["real"] * n,
        "Edema": [""] * n,
        "Hernia": ["1"] * n,
    }
    writer.finish(pd.DataFrame({**base, **columns}, dtype=object))
    return folder


REPORTS = ["Mild edema. No effusion."] * 2 + ["No edema. Possible pneumonia."] * 2 + ["", ""]


@pytest.mark.parametrize(
    ("option", "edema"),
    [
        ("fill", ["0", "1", "0", "-1", "", "1"]),
        ("replace", ["1", "1", "0", "0", "", "1"]),
        ("keep", ["0", "", "", "-1", "", "1"]),
    ],
)
def test_a_dataset_directory_keeps_its_images(
    tmp_path: Path, option: str, edema: list[str]
) -> None:
    before = ["0", "", "", "-1", "", "1"]
    data = dataset(tmp_path / "data", report=REPORTS, Edema=before)
    config = extract_reports.Config(reports=data, join_labels=option)
    outcome = execute(extract_reports, config, tmp_path / "out")
    assert outcome.state == "done"
    found = load_dataset(tmp_path / "out")
    assert found.table["Edema"].tolist() == edema
    assert found.table["Hernia"].tolist() == ["1"] * 6
    assert found.table["rules"].tolist()[::2] == ["mild edema", "possible pneumonia", ""]
    for i in range(6):
        name = f"images/{i}.png"
        assert (tmp_path / "out" / name).read_bytes() == (data / name).read_bytes()
    if option == "keep":
        assert found.labels == ("Edema", "Hernia")
    else:
        assert set(found.labels) == {*CHEXPERT, "Hernia"}
        assert dict(zip(found.labels, found.info.covered))["Edema"]
        assert found.table["Pneumonia"].tolist() == ["", "", "-1", "-1", "", ""]
    studies = {json.loads(x)["study_id"] for x in (tmp_path / "out" / "evidence.jsonl").open()}
    assert studies == {"s0", "s1"}
    assert execute(extract_reports, config, tmp_path / "out").state == "up-to-date"
    shown = cxr("extract-reports", tmp_path / "out", "--explain-id", "s0")
    assert "[+ edema]" in shown.stdout
    assert shown.stdout.count("\ns0\n") == 1


def test_no_finding_is_not_filled_beside_a_finding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Labels of the set alone in turn: a finding where the report is normal, and the reverse.
    hernia = ["1", "1", "0", "0", "0", "1"]
    report = ["No edema. Clear lungs."] * 2 + ["Mild edema."] * 2 + [""] * 2
    data = dataset(tmp_path / "data", report=report, Hernia=hernia)
    config = extract_reports.Config(reports=data)
    execute(extract_reports, config, tmp_path / "out")
    found = load_dataset(tmp_path / "out")
    assert found.table["No Finding"].tolist() == [""] * 6
    said = "No Finding: 2 not taken because a finding is 1 or -1 (Hernia 2)"
    assert said in capsys.readouterr().err
    summary = json.loads((tmp_path / "out" / "result.json").read_text())["summary"]
    assert summary["no_finding"]["withheld"] == 2
    assert found.info.notes["no_finding"]["beside"] == {"Hernia": 2}
    # And what the report finds beside a No Finding that was there.
    again = load_dataset(data)
    labels = ("No Finding", "Hernia")
    info = dataclasses.replace(again.info, labels=labels, covered=(True, True))
    table = again.table.assign(**{"No Finding": ["0", "0", "1", "1", "1", "1"], "Edema": ""})
    (data / "manifest.csv").write_text(table.to_csv(index=False), encoding="utf-8")
    (data / "dataset.json").write_text(json.dumps(info.to_json()), encoding="utf-8")
    execute(extract_reports, config, tmp_path / "other")
    found = load_dataset(tmp_path / "other")
    assert found.table["Edema"].tolist() == ["0", "0", "1", "1", "", ""]
    assert found.table["No Finding"].tolist() == ["0", "0", "", "", "1", "1"]
    said = capsys.readouterr().err
    assert "2 withdrawn" in said
    assert "warning: 1 image has No Finding 1 beside a finding in the source (Hernia 1)" in said


def test_a_dataset_directory_without_reports_is_refused(tmp_path: Path) -> None:
    data = dataset(tmp_path / "data", report=[""] * 2)
    done = cxr("extract-reports", data, "-o", tmp_path / "out")
    assert done.returncode == 3
    assert "no row has a report" in done.stderr
    assert cxr("extract-reports", data, "-o", "-").returncode == 2


# ---- a kill in the middle


def test_killed_and_restarted_gives_the_same_bytes(tmp_path: Path) -> None:
    texts = [f"Small effusion number {i}. No pneumothorax. Edema {i}." for i in range(3000)]
    source = tmp_path / "r.csv"
    rows = "".join(f"{i},{text}\n" for i, text in enumerate(texts))
    source.write_text("study_id,report\n" + rows, encoding="utf-8")
    words = [sys.executable, "-m", "cxrtool", "extract-reports", str(source), "-q", "-o"]
    assert cxr(*words[3:], tmp_path / "whole").returncode == 0
    process = subprocess.Popen([*words, str(tmp_path / "cut")], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if any(p.stat().st_size for p in (tmp_path / "cut").glob(".manifest.csv.*.tmp")):
            os.kill(process.pid, signal.SIGKILL)
            break
        time.sleep(0.01)
    assert process.wait() == -signal.SIGKILL, "it was to be killed in the middle"
    assert cxr(*words[3:], tmp_path / "cut").returncode == 0
    for name in ("manifest.csv", "evidence.jsonl"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not list((tmp_path / "cut").glob("*.tmp"))


def children(pid: int) -> list[int]:
    """Processes below one, however deep."""
    tasks = Path("/proc").glob("[0-9]*/stat")
    parents = {}
    for task in tasks:
        with contextlib.suppress(OSError):
            fields = task.read_text().rsplit(")", 1)[1].split()
            parents[int(task.parent.name)] = int(fields[1])
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found[1:]


@pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="looks at /proc")
@pytest.mark.parametrize(
    ("signum", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)],
)
def test_a_signal_ends_all_workers_and_leaves_nothing_half_done(
    tmp_path: Path, signum: int, code: int
) -> None:
    source = tmp_path / "r.csv"
    rows = "".join(f"{i},Small effusion {i}. No pneumothorax or edema.\n" for i in range(200_000))
    source.write_text("study_id,report\n" + rows, encoding="utf-8")
    words = [sys.executable, "-m", "cxrtool", "extract-reports", str(source), "-q"]
    process = subprocess.Popen(
        [*words, "-o", str(tmp_path / "out"), "--workers", "2"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if any(p.stat().st_size for p in (tmp_path / "out").glob(".manifest.csv.*.tmp")):
            break
        time.sleep(0.01)
    workers = children(process.pid)
    assert len(workers) >= 3, "fork server and two workers"
    # A terminal sends Ctrl-C to all processes of the command.
    (os.killpg if signum == signal.SIGINT else os.kill)(process.pid, signum)
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == code, errors
    assert "Traceback" not in errors
    assert not (tmp_path / "out" / "manifest.csv").exists()
    deadline = time.monotonic() + 20
    left = workers
    while left and time.monotonic() < deadline:
        left = [pid for pid in left if Path(f"/proc/{pid}/stat").exists()]
        time.sleep(0.05)
    assert not left


# ---- evaluate labels


def test_scores_of_an_extraction(source: Path, tmp_path: Path) -> None:
    reference = tmp_path / "ref.csv"
    reference.write_text(
        "uid,Pleural Effusion,Pneumonia,Cardiomegaly,note\n"
        "007,1,0,,x\n8,0,,0,x\n10,1,1,1,x\n99,1,1,1,x\n",
        encoding="utf-8",
    )
    assert cxr("extract-reports", source, "-o", tmp_path / "x", "-q").returncode == 0
    words = ("evaluate", "labels", tmp_path / "x", "--reference", reference, "--key", "uid")
    done = cxr(*words, "-o", tmp_path / "y", "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)["summary"]
    assert (summary["matched"], summary["only_in_reference"]) == (3, 1)
    assert summary["macro_f1"] == pytest.approx((2 / 3 + 0 + 1) / 3)
    metrics = pd.read_csv(tmp_path / "y" / "metrics.csv").set_index("observation")
    assert metrics.loc["Pleural Effusion", ["n", "tp", "fp", "fn"]].tolist() == [3, 1, 0, 1]
    assert metrics.loc["Cardiomegaly", "n"] == 2
    wrong = (tmp_path / "y" / "disagreements.csv").read_text(encoding="utf-8")
    assert "uncertain.adjective" in wrong
    assert "Possible pneumonia" not in wrong
    for name in ("report.html", "summary.json"):
        text = (tmp_path / "y" / name).read_text(encoding="utf-8")
        assert "007" not in text
        assert "pneumonia." not in text
    reference.write_text(reference.read_text("utf-8").replace("10,1,1,1", "10,?,1,?"), "utf-8")
    asked = cxr(*words, "-o", tmp_path / "asked", "--blank-as", "zero-pred")
    assert asked.returncode == 0, asked.stderr
    assert "not scored, because a cell is ?: Pleural Effusion 1, Cardiomegaly 1" in asked.stderr
    page = (tmp_path / "asked" / "report.html").read_text(encoding="utf-8")
    assert "2 labels are not scored" in page
    reference.write_text(reference.read_text("utf-8").replace("10,?,1,?", "10,1,1,1"), "utf-8")
    ones = cxr(
        *words, "-o", tmp_path / "z", "--uncertain-as", "1", "--blank-as", "zero", "--include-text"
    )
    assert ones.returncode == 0, ones.stderr
    metrics = pd.read_csv(tmp_path / "z" / "metrics.csv").set_index("observation")
    assert metrics.loc["Pneumonia", ["n", "tp", "fp", "fn"]].tolist() == [3, 1, 0, 0]
    wrong = (tmp_path / "z" / "disagreements.csv").read_text(encoding="utf-8")
    assert "Possible pneumonia. The heart is enlarged." in wrong
    page = (tmp_path / "z" / "report.html").read_text(encoding="utf-8")
    assert "Possible pneumonia. The heart is enlarged." in page
    assert "resamples of 2 patients" in page


def test_classes_and_intervals_are_written(source: Path, tmp_path: Path) -> None:
    reference = tmp_path / "ref.csv"
    reference.write_text(
        "study_id,Pleural Effusion,Pneumonia,Cardiomegaly\n007,1,0,\n8,0,,0\n10,-1,-1,1\n",
        encoding="utf-8",
    )
    assert cxr("extract-reports", source, "-o", tmp_path / "x", "-q").returncode == 0
    words = ("evaluate", "labels", tmp_path / "x", "--reference", reference)
    for seed in (0, 1):
        done = cxr(*words, "-o", tmp_path / str(seed), "--seed", seed, "--bootstrap", 100)
        assert done.returncode == 0, done.stderr
    assert "uncertain  " in done.stderr
    table = pd.read_csv(tmp_path / "0" / "classes.csv", dtype={"uncertain_as": str})
    rows = table.fillna({"uncertain_as": ""}).set_index(["class", "uncertain_as", "observation"])
    assert len(rows) == 5 * (3 + 2)
    assert rows.loc["uncertain", "", "Pneumonia"][["support", "tp", "fp"]].tolist() == [1, 1, 0]
    assert rows.loc["uncertain", "", "Pleural Effusion"][["support", "fn"]].tolist() == [1, 1]
    assert rows.loc["positive", "1", "Pleural Effusion"][["support", "tp"]].tolist() == [2, 1]
    assert rows.loc["negative", "0", "Cardiomegaly"][["support", "tp", "tn"]].tolist() == [1, 1, 1]
    wrong = pd.read_csv(tmp_path / "0" / "disagreements.csv", dtype=str, keep_default_na=False)
    found = wrong[["key", "observation", "reference", "predicted", "kind"]].values.tolist()
    assert found == [["10", "Pleural Effusion", "-1", "", "certainty"]]
    assert cxr(*words, "-o", tmp_path / "few", "--bootstrap", 50).returncode == 2
    none = cxr(*words, "-o", tmp_path / "none", "--bootstrap", 0)
    assert none.returncode == 0
    summary = json.loads((tmp_path / "none" / "summary.json").read_text())
    assert summary["macro_f1_low"] is None


def test_labels_and_keys_can_be_chosen(source: Path, tmp_path: Path) -> None:
    text = "name,A,B\nx,1,0\ny,0,1\n"
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    (tmp_path / "b.csv").write_text(text.replace("name", "id"), encoding="utf-8")
    config = evaluate_labels.Config(
        pred=tmp_path / "a.csv",
        reference=tmp_path / "b.csv",
        key="id",
        pred_key="name",
        labels="B",
    )
    outcome = execute(evaluate_labels, config, tmp_path / "out")
    assert outcome.result["summary"]["labels"] == ["B"]
    assert outcome.result["summary"]["macro_f1"] == 1.0


@pytest.mark.parametrize(
    ("reference", "code", "message"),
    [
        ("study_id,Edema\n007,2\n", 3, "row 2, column 'Edema'"),
        ("study_id,Fever\n007,1\n", 3, "no label of the reference"),
        ("key,Edema\n007,1\n", 3, "column 'study_id'"),
        ("study_id,Edema\n555,1\n", 3, "no key"),
    ],
)
def test_bad_references(
    source: Path, tmp_path: Path, reference: str, code: int, message: str
) -> None:
    (tmp_path / "ref.csv").write_text(reference, encoding="utf-8")
    config = extract_reports.Config(reports=source)
    execute(extract_reports, config, tmp_path / "x")
    words = ("evaluate", "labels", tmp_path / "x", "--reference", tmp_path / "ref.csv")
    done = cxr(*words, "-o", tmp_path / "y")
    assert done.returncode == code
    assert message in done.stderr


def test_labels_that_only_the_reference_has_are_named(tmp_path: Path) -> None:
    ours = pd.DataFrame({"study_id": ["a"], "Edema": ["1"], "Pleural Effusion": ["0"]})
    columns = {"study_id": "a", "Edema": "1", "Effusion": "1", "fold": "1", "note": "x", "Mass": ""}
    theirs = pd.DataFrame({name: [cell] for name, cell in columns.items()})
    config = evaluate_labels.Config(pred=tmp_path, reference=tmp_path)
    found = evaluate_labels.common_labels(config, ours, theirs, tmp_path)
    assert found == (["Edema"], ["Effusion"])


def test_phantom_reports_say_what_the_phantom_has() -> None:
    """Two packages that do not know one another agree; sternotomy wires are no device of ours."""
    population = pytest.importorskip("cxrtool.phantom")
    from cxrtool.reports import Labeler

    labeler = Labeler()
    same = total = 0
    for index in range(150):
        for study in population.sample_patient(11, index).studies:
            ours = labeler.label(study.report, evidence=False)
            for name, value in study.labels.items():
                got = ours[name]
                same += ("" if got is None else str(got)) == value
                total += 1
    assert total > 2000
    assert same / total >= 0.97


# ---- texts

STRATEGIES = "impression,rules-v2,inverted,generated,random,random-rules-v2,random-external"


def patients(tmp_path: Path) -> Path:
    path = tmp_path / "people.csv"
    finds = ("Small left effusion", "Right pneumothorax", "Mild cardiomegaly", "Edema", "Nodule")
    rows = [
        f'{p}-{s},p{p},"{finds[p % 5]} of size {p}.\nNo fracture, ""{s}""."'
        for p in range(40)
        for s in range(2)
    ]
    path.write_text("study_id,patient_id,report\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_every_strategy_is_a_column(tmp_path: Path) -> None:
    source = patients(tmp_path)
    given = tmp_path / "given.csv"
    given.write_text(
        "study_id,text\n" + "".join(f"{p}-0,given {p}\n" for p in range(41)), encoding="utf-8"
    )
    words = ("extract-reports", source, "--texts", STRATEGIES, "--text-from", given, "--seed", 3)
    done = cxr(*words, "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "1 texts of --text-from belong to no report" in done.stderr
    rows = table_of(tmp_path / "out" / "manifest.csv")
    assert list(next(iter(rows.values())))[-8:] == [*STRATEGIES.split(","), "external"]
    assert rows["0-0"]["rules-v2"] == "small left effusion, no fracture"
    assert rows["0-0"]["inverted"] == "no effusion, fracture"
    assert rows["0-0"]["external"] == "given 0"
    assert rows["0-1"]["external"] == rows["0-1"]["random-external"] == ""
    for study, row in rows.items():
        person = row["patient_id"]
        assert row["report"].startswith(tuple("SRMEN"))
        other = row["random-external"].removeprefix("given ")
        assert (other == "") == study.endswith("-1")
        assert f"p{other}" != person
    # The order of the rows, the workers and the kind of output make no difference.
    streamed = cxr(*words, "-o", "-", "-q", "--workers", 1)
    assert streamed.stdout == (tmp_path / "out" / "manifest.csv").read_text(encoding="utf-8")
    lines = source.read_text(encoding="utf-8")
    head, *records = list(csv.reader(io.StringIO(lines)))
    with source.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([head, *reversed(records)])
    assert cxr(*words, "-o", tmp_path / "back", "-q").returncode == 0
    assert table_of(tmp_path / "back" / "manifest.csv") == rows


def test_mistakes_in_texts_are_named(source: Path, tmp_path: Path) -> None:
    words = ("extract-reports", source, "-o", tmp_path / "out")
    done = cxr(*words, "--texts", "rules,poem")
    assert done.returncode == 2
    assert "unknown text strategy 'poem'" in done.stderr
    assert cxr(*words, "--texts", "external").returncode == 2
    given = tmp_path / "given.csv"
    given.write_text("study_id,text\n7,a\n", encoding="utf-8")
    done = cxr(*words, "--text-from", given)
    assert done.returncode == 3
    assert f"{given}, column 'study_id'" in done.stderr
    one = tmp_path / "one.csv"
    one.write_text("study_id,patient_id,report\n1,p,Edema.\n2,p,Edema.\n", encoding="utf-8")
    done = cxr("extract-reports", one, "-o", tmp_path / "one", "--texts", "random")
    assert done.returncode == 3
    assert "all of one patient" in done.stderr
    assert not (tmp_path / "one" / "manifest.csv").exists()


def test_no_texts_at_all(source: Path, tmp_path: Path) -> None:
    done = cxr("extract-reports", source, "-o", tmp_path / "out", "--texts", "")
    assert done.returncode == 0, done.stderr
    head = (tmp_path / "out" / "manifest.csv").read_text(encoding="utf-8").splitlines()[0]
    assert head.endswith(",report")


def test_a_dataset_directory_gets_the_texts_too(tmp_path: Path) -> None:
    given = tmp_path / "given.csv"
    given.write_text("study_id,text\ns0,hello\n", encoding="utf-8")
    data = dataset(tmp_path / "data", report=REPORTS)
    config = extract_reports.Config(
        reports=data, texts="rules-v2,random,generated", text_from=given
    )
    execute(extract_reports, config, tmp_path / "out")
    table = load_dataset(tmp_path / "out").table
    assert table["rules-v2"].tolist()[::2] == [
        "mild edema, no pleural effusion",
        "possible pneumonia, no pulmonary edema",
        "",
    ]
    assert table["random"].tolist() == ["possible pneumonia"] * 2 + ["mild edema"] * 2 + [""] * 2
    assert table["external"].tolist() == ["hello"] * 2 + [""] * 4
    assert table["generated"][0] == "Mild edema. No effusion."


def test_evidence_holds_the_attributes(source: Path, tmp_path: Path) -> None:
    assert cxr("extract-reports", source, "-o", tmp_path / "out", "-q").returncode == 0
    lines = (tmp_path / "out" / "evidence.jsonl").read_text(encoding="utf-8").splitlines()
    found = [json.loads(line) for line in lines]
    first = next(e for e in found if e["text"] == "effusion")
    assert first["attributes"] == {"size": ["small"], "laterality": ["left"], "temporal": ["new"]}
    assert not any("attributes" in e for e in found if e["text"] == "pneumothorax")
