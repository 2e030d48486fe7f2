"""Reports joined by study: what is filled, replaced, kept, and what does not match."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from cxrtool.core.errors import InputError
from cxrtool.data.join import Joined, join_reports
from cxrtool.data.sources.base import SourceTable

TABLE = pd.DataFrame(
    {
        "patient_id": ["p", "p", "q", "r"],
        "study_id": ["s1", "s1", "s2", "s9"],
        "report": ["", "", "mine", ""],
        "Edema": ["1", "", "0", "1"],
        "Mass": ["1", "0", "1", "0"],
    },
    dtype=str,
)


@pytest.fixture
def extracted(tmp_path: Path) -> Callable[..., Path]:
    def make(text: str) -> Path:
        folder = tmp_path / "extracted"
        folder.mkdir(exist_ok=True)
        (folder / "manifest.csv").write_text(text)
        return folder

    return make


REPORTS = 'study_id,report,Edema,Fracture\ns1,"one, two",-1,1\ns2,two,0,\ns3,three,1,1\n'


def source(table: pd.DataFrame, labels: tuple[str, ...]) -> SourceTable:
    return SourceTable(table=table, labels=labels, namespace="t", patients=True, source="t")


def join(folder: Path, mode: str, table: pd.DataFrame = TABLE) -> Joined:
    return join_reports(source(table, ("Edema", "Mass")), folder, mode)


def test_fill(extracted: Callable[..., Path]) -> None:
    joined = join(extracted(REPORTS), "fill")
    assert (joined.matched, joined.unmatched, joined.unused) == (3, 1, 1)
    assert joined.source.labels == ("Edema", "Mass", "Fracture")
    assert joined.source.table["Edema"].tolist() == ["1", "-1", "0", "1"]
    assert joined.source.table["Fracture"].tolist() == ["1", "1", "", ""]
    assert joined.source.table["Mass"].tolist() == TABLE["Mass"].tolist()
    assert joined.source.table["report"].tolist() == ["one, two", "one, two", "mine", ""]
    assert joined.source.covered == (True, True, True)


def test_replace_takes_the_report_where_there_is_one(extracted: Callable[..., Path]) -> None:
    joined = join(extracted(REPORTS), "replace")
    assert joined.source.table["Edema"].tolist() == ["-1", "-1", "0", "1"]


def test_keep_joins_texts_alone(extracted: Callable[..., Path]) -> None:
    joined = join(extracted(REPORTS), "keep")
    assert joined.source.labels == ("Edema", "Mass")
    assert joined.source.table["Edema"].tolist() == TABLE["Edema"].tolist()
    assert joined.source.table["report"].tolist()[0] == "one, two"


@pytest.mark.parametrize("mode", ["fill", "replace", "keep"])
def test_disagreements_are_tabulated_in_every_mode(
    extracted: Callable[..., Path], mode: str
) -> None:
    joined = join(extracted(REPORTS), mode)
    assert joined.compared == {"Edema": 2, "Fracture": 0}
    assert joined.disagreements.to_dict("records") == [
        {"row": 0, "study_id": "s1", "label": "Edema", "source": "1", "report": "-1"}
    ]


def test_other_spellings_of_a_label_are_the_same_label(extracted: Callable[..., Path]) -> None:
    table = TABLE.rename(columns={"Mass": "Pleural Effusion"})
    folder = extracted("study_id,Pleural Effusion\ns1,0\n")
    made = source(table.rename(columns={"Pleural Effusion": "Effusion"}), ("Edema", "Effusion"))
    made = dataclasses.replace(made, covered=(True, False))
    joined = join_reports(made, folder, "replace")
    assert joined.source.labels == ("Edema", "Effusion")
    assert joined.source.table["Effusion"].tolist() == ["0", "0", "1", "0"]
    assert joined.source.covered == (True, True)


def test_file_names_of_reports_match_study_numbers(extracted: Callable[..., Path]) -> None:
    table = TABLE.assign(study_id=["50414267", "50414267", "7", "8"])
    joined = join(extracted("study_id,Edema\ns50414267,1\ns7,0\n"), "fill", table)
    assert joined.matched == 3


def test_patient_and_study_together_where_both_know_them(extracted: Callable[..., Path]) -> None:
    table = TABLE.assign(study_id=["0", "1", "0", "0"])
    folder = extracted("patient_id,study_id,Edema\np,0,0\nq,0,1\n")
    joined = join(folder, "replace", table)
    assert joined.source.table["Edema"].tolist() == ["0", "", "1", "1"]


def test_study_numbers_shared_by_patients_are_refused(extracted: Callable[..., Path]) -> None:
    table = TABLE.assign(study_id=["0", "1", "0", "0"])
    with pytest.raises(InputError, match="study '0' belongs to 3 patients"):
        join(extracted("study_id,Edema\n0,1\n"), "fill", table)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("study_id,Edema\nx1,1\nx2,0\n", "studies here are like 's1', 's2', 's9', there like 'x1'"),
        ("study_id,Edema\ns1,1\ns1,0\n", "two reports with different labels"),
        ("study_id,Edema\ns1,5\n", "'5' is not"),
        ("uid,Edema\ns1,1\n", "missing"),
    ],
)
def test_unfit_reports(extracted: Callable[..., Path], text: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        join(extracted(text), "fill")


def test_no_manifest_and_no_studies(extracted: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no manifest\.csv"):
        join(tmp_path, "fill")
    with pytest.raises(InputError, match="no study ids"):
        join(extracted(REPORTS), "fill", TABLE.assign(study_id=""))


def test_texts_by_strategy_are_joined(extracted: Callable[..., Path]) -> None:
    joined = join(
        extracted("study_id,rules-v2,random,Edema\ns1,mild edema,cardiomegaly,1\ns2,,x,0\n"), "keep"
    )
    assert joined.source.table["rules-v2"].tolist() == ["mild edema", "mild edema", "", ""]
    assert joined.source.table["random"].tolist()[:3] == ["cardiomegaly", "cardiomegaly", "x"]
    assert "rules-v2" not in joined.source.labels


def test_observations_of_own_rules_are_joined_and_other_columns_named(
    extracted: Callable[..., Path],
) -> None:
    joined = join(
        extracted("study_id,report,Edema,COVID-19,words\ns1,x,,yes,mild\ns2,y,,0,none\n"), "fill"
    )
    assert joined.source.labels == ("Edema", "Mass", "COVID-19")
    assert joined.source.table["COVID-19"].tolist() == ["1", "1", "0", ""]
    assert joined.left == {"words": "other values"}
    with pytest.raises(InputError, match="'maybe' is not") as error:
        rows = "".join(f"s{i},1\n" for i in range(3, 20))
        join(extracted(f"study_id,COVID-19\ns1,1\ns2,maybe\n{rows}"), "fill")
    assert (error.value.row, error.value.column) == (3, "COVID-19")
