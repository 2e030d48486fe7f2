"""Open-i: XML in folders and archives, MeSH codes to observations, the real reports."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pandas as pd
import pytest

from cxrtool.core.errors import InputError
from cxrtool.data.labels import CHEXPERT
from cxrtool.data.sources.openi import mesh_labels
from cxrtool.data.sources.padchest import load_terms

from .conftest import Read, write_png, write_text


def report(
    number: int, codes: tuple[str, ...] = ("normal",), images: tuple[str, ...] = ("IM-1",)
) -> str:
    major = "".join(f"<major>{code}</major>" for code in codes)
    parents = "".join(f'<parentImage id="CXR{number}_{image}"/>' for image in images)
    return f"""<?xml version="1.0" encoding="utf-8"?>
<eCitation><uId id="CXR{number}"/><MedlineCitation><Article><Abstract>
<AbstractText Label="COMPARISON">None.</AbstractText>
<AbstractText Label="INDICATION">Cough &amp; fever</AbstractText>
<AbstractText Label="FINDINGS">Lungs are
   clear.</AbstractText>
<AbstractText Label="IMPRESSION"/>
</Abstract></Article></MedlineCitation>
<MeSH>{major}<automatic>Pneumonia</automatic></MeSH>{parents}</eCitation>
"""


def test_reports_and_images_in_folders(tmp_path: Path, read: Read) -> None:
    reports = tmp_path / "ecgen-radiology"
    write_text(reports / "10.xml", report(10, ("Opacity/lung/base", "Pleural Effusion/left")))
    write_text(reports / "2.xml", report(2, images=("IM-1", "IM-2")))
    write_text(reports / "3.xml", report(3, images=()))
    for name in ("CXR2_IM-1", "CXR2_IM-2", "CXR10_IM-1"):
        write_png(tmp_path / "png" / f"{name}.png")
    result = read("openi", tmp_path)
    table = result.table
    assert list(table["study_id"]) == ["2", "2", "10"]  # by number, not by text
    assert table["image_ref"].iloc[0] == "png/CXR2_IM-1.png"
    assert result.opener is not None
    assert all(result.opener(ref) for ref in table["image_ref"])
    assert not result.patients
    assert table["findings"].iloc[0] == "Lungs are clear."
    assert table["impression"].iloc[0] == ""
    assert table["report"].iloc[0] == (
        "COMPARISON: None.\nINDICATION: Cough & fever\nFINDINGS: Lungs are clear."
    )
    assert list(table["No Finding"]) == ["1", "1", ""]
    assert table.loc[2, ["Lung Opacity", "Pleural Effusion"]].tolist() == ["1", "1"]
    assert set(table["Pneumonia"]) == {""}  # automatic codes do not count
    covered = dict(zip(result.labels, result.covered, strict=True))
    assert not covered.pop("Enlarged Cardiomediastinum")
    assert all(covered.values())
    assert result.notes["reports_without_images"] == 1


def test_one_row_a_report_without_pixels(tmp_path: Path, read: Read) -> None:
    write_text(tmp_path / "2.xml", report(2, images=("IM-1", "IM-2")))
    write_text(tmp_path / "3.xml", report(3, images=()))
    for source in (tmp_path, tmp_path / "2.xml"):
        table = read("openi", source, labels_only=True).table
        assert table["study_id"].iloc[0] == "2"
        assert set(table["image_ref"]) == {""}
        assert len(table) == (2 if source.is_dir() else 1)


def test_archive(tmp_path: Path, read: Read) -> None:
    inner = write_text(tmp_path / "in" / "1.xml", report(1))
    archive = tmp_path / "NLMCXR_reports.tgz"
    with tarfile.open(archive, "w:gz") as opened:
        opened.add(inner, "ecgen-radiology/1.xml")
    inner.unlink()
    for source in (tmp_path, archive):
        assert list(read("openi", source, labels_only=True).table["study_id"]) == ["1"]
    archive.write_bytes(archive.read_bytes()[:60])
    with pytest.raises(InputError, match="archive"):
        read("openi", tmp_path, labels_only=True)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (report(5)[:300], "malformed XML"),
        ('<?xml version="1.0"?><html/>', "not an Open-i report"),
        ('<!DOCTYPE x [<!ENTITY a "b">]><eCitation/>', "declares entities"),
        ('<?xml version="1.0" encoding="no-such"?><eCitation/>', "malformed XML"),
    ],
)
def test_bad_xml_is_named(tmp_path: Path, read: Read, text: str, reason: str) -> None:
    write_text(tmp_path / "1.xml", report(1))
    bad = write_text(tmp_path / "5.xml", text)
    with pytest.raises(InputError, match=reason) as error:
        read("openi", tmp_path, labels_only=True)
    assert error.value.file == str(bad)
    kept = read("openi", tmp_path, labels_only=True, skip_bad=True)
    assert list(kept.table["study_id"]) == ["1"]
    assert [(r.ref, r.error.file) for r in kept.rejected] == [("5.xml", str(bad))]


def test_the_same_report_twice_and_none(tmp_path: Path, read: Read) -> None:
    with pytest.raises(InputError, match="NLMCXR_reports"):
        read("openi", tmp_path)
    write_text(tmp_path / "a" / "1.xml", report(1))
    write_text(tmp_path / "b" / "1.xml", report(1))
    with pytest.raises(InputError, match="the same report"):
        read("openi", tmp_path)


def test_codes() -> None:
    terms = load_terms("openi")

    def positive(*codes: str) -> set[str]:
        return {name for name, value in mesh_labels(codes, terms).items() if value == "1"}

    assert set(terms) <= set(CHEXPERT)
    assert positive("normal") == {"No Finding"}
    assert positive("normal", "Nodule/lung") == {"Lung Lesion"}
    assert positive("Cardiomegaly/borderline") == set()
    assert positive("Cardiomegaly/mild") == {"Cardiomegaly"}
    assert positive("Thickening/bronchovascular") == set()
    assert positive("Thickening/pleura/apex", "Hydropneumothorax") == {
        "Pleural Other", "Pneumothorax", "Pleural Effusion",
    }  # fmt: skip


def test_the_real_reports(xrv_data: Path, read: Read) -> None:
    source = xrv_data / "NLMCXR_reports.tgz"
    result = read("openi", source, labels_only=True)
    assert len(result.table) == 3_955
    assert (result.table["No Finding"] == "1").sum() == 1_391
    textless = (result.table["findings"] + result.table["impression"]) == ""
    assert textless.sum() == 28
    assert len(read("openi", source).table) == 7_470


def test_codes_agree_with_the_reference(xrv_data: Path, shared_data: Path, read: Read) -> None:
    """Every positive of the independent reference, and no other, on 1,895 reports."""
    table = read("openi", xrv_data / "NLMCXR_reports.tgz", labels_only=True).table
    reference = pd.read_csv(
        shared_data / "reports" / "openi_reference.csv", dtype=str, keep_default_na=False
    )
    ours = table.set_index("study_id").loc[reference["uid"]]
    for label in CHEXPERT:
        theirs = (reference[label] == "1").to_numpy()
        assert ((ours[label] == "1").to_numpy() == theirs).all(), label
