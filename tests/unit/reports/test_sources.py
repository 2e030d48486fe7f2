"""Reports in every form that they lie on disk in, and every damage."""

from __future__ import annotations

import gc
import gzip
import io
import json
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from cxrtool.core.errors import InputError
from cxrtool.data.archives import documents
from cxrtool.reports.report import Report
from cxrtool.reports.sources import read_reports

XML = (
    '<eCitation><AbstractText Label="INDICATION">cough</AbstractText>'
    '<AbstractText Label="FINDINGS"/><AbstractText Label="IMPRESSION">Clear &amp; dry.'
    "</AbstractText></eCitation>"
)


def stop(error: InputError, study: str) -> None:
    raise error


def read(path: Path, **options: object) -> list[Report]:
    return list(read_reports(path, stop, **options))  # type: ignore[arg-type]


def read_skipping(path: Path) -> tuple[list[Report], list[tuple[str, InputError]]]:
    bad: list[tuple[str, InputError]] = []
    reports = list(read_reports(path, lambda error, study: bad.append((study, error))))
    return reports, bad


def write(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_csv_with_quotes_commas_and_line_breaks(tmp_path: Path) -> None:
    path = write(
        tmp_path / "r.csv",
        'study_id,patient_id,report\n007,NA,"Clear, ""dry"".\nNo edema."\n8,,\n',
    )
    first, second = read(path)
    assert first == Report("007", 'Clear, "dry".\nNo edema.', "NA", str(path), 2)
    assert (second.study, second.text, second.row) == ("8", "", 3)


@pytest.mark.parametrize("packed", [False, True])
def test_tsv_and_byte_order_mark(tmp_path: Path, packed: bool) -> None:
    data = "\ufeffstudy_id\treport\n1\tClear.\n".encode()
    path = tmp_path / ("r.tsv.gz" if packed else "r.tsv")
    path.write_bytes(gzip.compress(data) if packed else data)
    assert [(r.study, r.text) for r in read(path)] == [("1", "Clear.")]


def test_json_lines(tmp_path: Path) -> None:
    lines = [{"study_id": 12, "report": "Clear."}, {"study_id": "x", "report": None}]
    path = write(tmp_path / "r.jsonl", "\n".join(map(json.dumps, lines)) + "\n\n")
    assert [(r.study, r.text) for r in read(path)] == [("12", "Clear."), ("x", "")]


def test_the_table_of_sections_of_mimic_cxr(tmp_path: Path) -> None:
    header = "study,impression,findings,last_paragraph,comparison\n"
    path = write(tmp_path / "s.csv", header + "s1,B,A,,C\ns2,,,Mild edema.,\ns3,,,,\n")
    reports = [(report.study, report.text) for report in read(path)]
    assert reports == [("s1", "FINDINGS: A\nIMPRESSION: B"), ("s2", "Mild edema."), ("s3", "")]


def test_named_columns_and_joined_sections(tmp_path: Path) -> None:
    path = write(tmp_path / "r.csv", "id,words\n1,Clear.\n")
    assert read(path, id_column="id", text_column="words")[0].text == "Clear."
    path = write(tmp_path / "s.csv", "study_id,findings,impression\n1,Clear.,\n2,A,B\n")
    assert [r.text for r in read(path)] == ["FINDINGS: Clear.", "FINDINGS: A\nIMPRESSION: B"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("study_id,report\n1,A\n", "A"), (' {"study_id": "1", "report": "B"}\n', "B")],
)
def test_stdin_is_csv_or_json_lines(tmp_path: Path, text: str, expected: str) -> None:
    assert read(write(tmp_path / "spool", text), stdin=True)[0].text == expected


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_another_separator_is_named(tmp_path: Path, mark: str) -> None:
    path = tmp_path / "r.csv"
    path.write_text(f"study_id{mark}report\n1{mark}No edema\n", "utf-8")
    with pytest.raises(InputError, match=r"r\.csv, row 1: the columns are separated by") as caught:
        read(path)
    assert repr(mark) in str(caught.value)
    assert ".tsv" in str(caught.value.hint)


def test_errors_of_stdin_name_no_copy_of_it(tmp_path: Path) -> None:
    copy = tmp_path / "spool-0"
    copy.write_text("", "utf-8")
    with pytest.raises(InputError, match=r"^stdin: the table is empty"):
        read(copy, stdin=True)
    copy.write_text("study_id,report\n1,Edema\n1,Edema\n", "utf-8")
    with pytest.raises(InputError, match=r"^stdin, row 3: the id .1. occurs twice"):
        read(copy, stdin=True)
    with pytest.raises(InputError, match=r"spool-0: is no table"):
        read(copy)


def test_folder_of_texts(tmp_path: Path) -> None:
    write(tmp_path / "p2" / "s20.txt", "B")
    write(tmp_path / "p1" / "s10.txt", "A")
    write(tmp_path / "p1" / "x.xml", XML)
    write(tmp_path / ".hidden" / "s1.txt", "no")
    write(tmp_path / "readme.md", "no")
    found = [(r.study, r.text) for r in read(tmp_path)]
    assert found == [
        ("s10", "A"),
        ("x", "INDICATION: cough\nIMPRESSION: Clear & dry."),
        ("s20", "B"),
    ]


def pack(path: Path, members: dict[str, bytes]) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in members.items():
                archive.writestr(name, data)
    else:
        with tarfile.open(path, "w:gz") as archive:
            for name, data in members.items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    return path


@pytest.mark.parametrize("name", ["r.tgz", "r.tar.gz", "r.zip"])
def test_archives(tmp_path: Path, name: str) -> None:
    members = {"d/2.xml": XML.encode(), "d/1.txt": b"Clear.", "d/.x.txt": b"no", "d/p.png": b""}
    found = [(r.study, r.text) for r in read(pack(tmp_path / name, members))]
    assert found == [("2", "INDICATION: cough\nIMPRESSION: Clear & dry."), ("1", "Clear.")]


@pytest.mark.parametrize("name", ["r.tgz", "r.zip"])
@pytest.mark.parametrize(
    ("member", "data", "message"),
    [
        ("../out.txt", b"x", "leaves the archive's folder"),
        ("/abs.txt", b"x", "leaves the archive's folder"),
        ("a.xml", b"<eCitation>", "malformed XML"),
        ("a.xml", b"<a/>", "not an Open-i report"),
        ("a.xml", b"<eCitation/>", "no AbstractText"),
        ("a.xml", b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "declares entities"),
        ("a.txt", b"ok\nna\xefve", "line 2 is not UTF-8"),
    ],
)
def test_bad_members(tmp_path: Path, name: str, member: str, data: bytes, message: str) -> None:
    path = pack(tmp_path / name, {"good.txt": b"Clear.", member: data})
    with pytest.raises(InputError, match=message) as caught:
        read(path)
    assert member in str(caught.value)
    reports, bad = read_skipping(path)
    assert [r.study for r in reports] == ["good"]
    assert len(bad) == 1


def test_links_in_archives_are_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "r.tgz"
    with tarfile.open(path, "w:gz") as archive:
        link = tarfile.TarInfo("a.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with pytest.raises(InputError, match="is a link"):
        read(path)


def test_links_out_of_a_folder_are_not_followed(tmp_path: Path) -> None:
    secret = write(tmp_path / "secret.txt", "private")
    write(tmp_path / "r" / "1.txt", "Clear.")
    (tmp_path / "r" / "2.txt").symlink_to(secret)
    with pytest.raises(InputError, match="leaves the folder"):
        read(tmp_path / "r")


@pytest.mark.parametrize("name", ["r.tgz", "r.zip", "r.csv.gz"])
def test_damaged_files(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="damaged"):
        read(write(tmp_path / name, b"\x1f\x8b\x08 no archive at all"))


def test_truncated_archive(tmp_path: Path) -> None:
    path = pack(tmp_path / "r.tgz", {"a.txt": bytes(range(32, 127)) * 2000})
    path.write_bytes(path.read_bytes()[:-80])
    with pytest.raises(InputError, match="damaged archive"):
        read(path)


@pytest.mark.parametrize(
    ("text", "row", "column", "message"),
    [
        ("study_id\n1\n", 1, "report", "missing"),
        ("report\nClear\n", 1, "study_id", "missing"),
        ("study_id,study_id,report\n1,1,x\n", 1, "study_id", "twice"),
        ("study_id,report\n1,a\n1,b\n", 3, None, "occurs twice, first in row 2"),
        ("study_id,report\n1,a\n,b\n", 3, "study_id", "no id"),
        ("study_id,report\n1,a,b\n", 2, None, "3 fields where the header has 2"),
        ("study_id,report\n1,a\n2\n", 3, None, "1 fields"),
        ('study_id,report\n1,"a\nb\n', 2, None, "damaged table"),
        (b"study_id,report\n1,a\n2,na\xefve\n", 3, "report", "not UTF-8"),
        ("", None, None, "empty"),
        ("study_id,report\n", None, None, "holds no report"),
    ],
)
def test_bad_tables(
    tmp_path: Path, text: str | bytes, row: int | None, column: str | None, message: str
) -> None:
    path = write(tmp_path / "r.csv", text)
    with pytest.raises(InputError, match=message) as caught:
        read(path)
    assert (caught.value.row, caught.value.column) == (row, column)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "column"),
    [
        (b"study_id,patient_id,report\n1,p\xff,x\n2,p,x\n", "patient_id"),
        (b"study_id,patient_id,report\n1\xff,p,x\n2,p,x\n", "study_id"),
        (b"study_id,patient_id,report\n1,p,\xe9\n2,p,x\n", "report"),
    ],
)
def test_no_cell_is_written_that_is_no_text(tmp_path: Path, text: bytes, column: str) -> None:
    path = write(tmp_path / "r.csv", text)
    with pytest.raises(InputError, match="not UTF-8") as caught:
        read(path)
    assert (caught.value.row, caught.value.column) == (2, column)
    assert [r.study for r in read_skipping(path)[0]] == ["2"]


def test_lone_surrogates_of_json_are_no_text(tmp_path: Path) -> None:
    lines = '{"study_id": "1", "report": "\\ud800"}\n{"study_id": "2", "report": "x\\u00e9"}\n'
    reports, bad = read_skipping(write(tmp_path / "r.jsonl", lines))
    assert [r.text for r in reports] == ["xé"]
    assert "not UTF-8" in str(bad[0][1])


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le"])
def test_a_table_in_another_encoding_says_how_to_convert_it(tmp_path: Path, encoding: str) -> None:
    path = write(tmp_path / "r.csv", "study_id,réport\n1,x\n".encode(encoding))
    with pytest.raises(InputError) as caught:
        read(path)
    assert "header is not UTF-8" in str(caught.value) or caught.value.row == 1


def test_all_bad_is_said_as_such(tmp_path: Path) -> None:
    path = write(tmp_path / "r.csv", b"study_id,report\n1,\xff\n,x\n")
    with pytest.raises(InputError, match=r"no report that can be read \(2 are bad\)"):
        read_skipping(path)


def test_folders_are_read_by_name_level_by_level(tmp_path: Path) -> None:
    for name in ("b/2.txt", "a-/1.txt", "a/3.txt", "a.txt", "c/d/4.txt", "c/d.txt"):
        write(tmp_path / name, name)
    assert [r.text for r in read(tmp_path)] == sorted(
        ("b/2.txt", "a-/1.txt", "a/3.txt", "a.txt", "c/d/4.txt", "c/d.txt"),
        key=lambda name: Path(name).parts,
    )


def test_links_to_folders_and_pipes_are_not_read(tmp_path: Path) -> None:
    write(tmp_path / "r" / "1.txt", "x")
    (tmp_path / "r" / "again").symlink_to(tmp_path / "r", target_is_directory=True)
    os.mkfifo(tmp_path / "r" / "2.txt")
    reports, bad = read_skipping(tmp_path / "r")
    assert [r.study for r in reports] == ["1"]
    assert [(study, error.reason) for study, error in bad] == [("2", "is no file")]


def test_members_of_an_archive_are_forgotten(tmp_path: Path) -> None:
    path = pack(tmp_path / "r.tgz", {f"a/{i}.txt": b"x" for i in range(300)})
    for count, _ in enumerate(documents(path, (".txt",), stop)):
        if count == 250:
            alive = sum(type(thing) is tarfile.TarInfo for thing in gc.get_objects())
    assert count == 299
    assert alive < 20


def test_truncated_gzip_names_the_row(tmp_path: Path) -> None:
    rows = "".join(f"{i},{os.urandom(40).hex()}\n" for i in range(3000))
    path = tmp_path / "r.csv.gz"
    path.write_bytes(gzip.compress(("study_id,report\n" + rows).encode())[:-30000])
    with pytest.raises(InputError, match="damaged table: Compressed file ended") as caught:
        read(path)
    assert caught.value.row is not None
    with pytest.raises(InputError, match="damaged table"):
        read_skipping(path)


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[1]",
        "[" * 100_000,
        '{"study_id": ' + "9" * 6000 + ', "report": "x"}',
        '{"study_id": "2", "report": ["x"]}',
        '{"report": "x"}',
    ],
)
def test_bad_json_lines(tmp_path: Path, line: str) -> None:
    good = '{"study_id": "1", "report": "Clear."}\n'
    path = write(tmp_path / "r.jsonl", good + line + "\n" + good.replace("1", "3"))
    with pytest.raises(InputError) as caught:
        read(path)
    assert caught.value.row == 2
    reports, bad = read_skipping(path)
    assert [r.study for r in reports] == ["1", "3"]
    assert len(bad) == 1


def test_skipping_keeps_all_good_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "r.csv", b"study_id,report\n1,a\n1,again\n2,na\xefve\n3\n,none\n4,d\n")
    reports, bad = read_skipping(path)
    assert [r.study for r in reports] == ["1", "4"]
    assert [(study, error.row) for study, error in bad] == [("1", 3), ("2", 4), ("", 5), ("", 6)]


@pytest.mark.parametrize("name", ["r.docx", "reports"])
def test_unknown_forms(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="no table, folder or archive"):
        read(write(tmp_path / name, "x"))


def test_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no report"):
        read(tmp_path)


def test_a_very_long_report_is_read(tmp_path: Path) -> None:
    text = "No effusion. " * 100_000
    assert read(write(tmp_path / "a.txt", text))[0].text == text
