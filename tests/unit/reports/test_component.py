"""The labeler in pipelines of spaCy: entities, sections, labels, on disks and over processes."""

from __future__ import annotations

import importlib.util
import itertools
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import DocBin, Span

import cxrtool
from cxrtool.core.errors import CxrError
from cxrtool.reports.component import FINDINGS, OUTSIDE, SECTIONS
from cxrtool.reports.sources import read_reports

REPORT = (
    "HISTORY: Edema.\nFINDINGS: Small left pleural effusion. No pneumothorax.\n"
    "IMPRESSION: Possible pneumonia. Scoliosis."
)
RULES = """observations = ["Hernia"]
[[rule]]
id = "hernia"
observation = "Hernia"
phrases = ["hiatal hernia*"]
match = "Small hiatal hernia."
miss = "Disc herniation."
"""


@pytest.fixture
def nlp() -> Language:
    nlp = spacy.blank("en")
    nlp.add_pipe("cxr_findings")
    return nlp


def said(spans: list[Span]) -> list[tuple[str, str, int, str]]:
    return [(s.text, s.label_, s._.value, s._.cue) for s in spans]


def test_entities_sections_and_labels(nlp: Language) -> None:
    doc = nlp(REPORT)
    assert said(list(doc.ents)) == [
        ("pleural effusion", "Pleural Effusion", 1, ""),
        ("pneumothorax", "Pneumothorax", 0, "No"),
        ("pneumonia", "Pneumonia", -1, "Possible"),
        ("Scoliosis", OUTSIDE, 1, ""),
    ]
    assert [ent._.observation for ent in doc.ents][-2:] == ["Pneumonia", ""]
    assert doc.ents[0]._.attributes == {"size": ["small"], "laterality": ["left"]}
    assert (doc.ents[0]._.section, doc.ents[0]._.rule) == ("findings", "effusion")
    assert [(s.label_, s.text) for s in doc.spans[SECTIONS]] == [
        ("indication", "Edema."),
        ("findings", "Small left pleural effusion. No pneumothorax."),
        ("impression", "Possible pneumonia. Scoliosis."),
    ]
    assert doc._.cxr_labels == cxrtool.label(REPORT)
    assert doc[0:1]._.observation is None


def test_places_are_those_of_the_text_as_it_was_written(nlp: Language) -> None:
    doc = nlp("Small left\\npleural effu-\nsion.<br>-No PNEUMOTHORAX/edema")
    assert [ent._.observation for ent in doc.ents] == ["Pleural Effusion", "Pneumothorax", "Edema"]
    assert "effu-\nsion" in doc.ents[0].text
    # A token that holds more than the mention is taken whole.
    glued = spacy.blank("en")
    glued.tokenizer = spacy.tokenizer.Tokenizer(glued.vocab)
    glued.add_pipe("cxr_findings")
    assert [e.text for e in glued("Edema/effusion, seen.").ents] == ["Edema/effusion,"]
    assert len(glued("Edema/effusion, seen.").spans[FINDINGS]) == 2


def test_a_mention_of_two_observations_stands_twice(nlp: Language) -> None:
    doc = nlp("Right hydropneumothorax. ")
    assert [s._.observation for s in doc.spans[FINDINGS]] == ["Pneumothorax", "Pleural Effusion"]
    assert len(doc.ents) == 1
    doc = nlp("No effusion.")
    assert said(doc.spans[FINDINGS]) == [("effusion", "Pleural Effusion", 0, "No")]
    assert doc._.cxr_labels["No Finding"] == 1
    assert not nlp("").ents


@pytest.mark.parametrize(("overwrite", "label"), [(False, "SIDE"), (True, "Pleural Effusion")])
def test_entities_of_others_stay_unless_told(overwrite: bool, label: str) -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    ruler = nlp.add_pipe("entity_ruler")
    ruler.add_patterns(  # type: ignore[attr-defined]
        [{"label": "SIDE", "pattern": "left pleural"}, {"label": "WORD", "pattern": "seen"}]
    )
    nlp.add_pipe("cxr_findings", config={"overwrite_ents": overwrite})
    doc = nlp("A left pleural effusion is seen. Edema.")
    assert [ent.label_ for ent in doc.ents] == [label, "WORD", "Edema"]
    assert len(list(doc.sents)) == 2
    assert doc.spans[FINDINGS][0].text == "pleural effusion"


def test_rules_go_with_the_pipeline(tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "hernia.toml").write_text(RULES, encoding="utf-8")
    nlp = spacy.blank("en")
    nlp.add_pipe("cxr_findings", config={"rules": str(rules), "sections": ["history"]})
    nlp.to_disk(tmp_path / "pipeline")
    (rules / "hernia.toml").unlink()
    rules.rmdir()
    loaded = spacy.load(tmp_path / "pipeline")
    again = spacy.util.load_model_from_config(nlp.config).from_bytes(nlp.to_bytes())
    for pipeline in (loaded, again, pickle.loads(pickle.dumps(nlp))):
        doc = pipeline("History: hiatal hernia. Findings: edema.")
        assert {k: v for k, v in doc._.cxr_labels.items() if v is not None} == {"Hernia": 1}
    missing = spacy.blank("en")
    missing.add_pipe("cxr_findings", config={"rules": str(rules)})
    with pytest.raises(CxrError, match="no such folder of rules"):
        missing("Edema.")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "hernia.toml").write_text(RULES.replace("[[rule", "[rule"), "utf-8")
    with pytest.raises(CxrError, match=r"hernia.toml: line 2"):
        missing.add_pipe("cxr_findings", "bad", config={"rules": str(tmp_path / "bad")})


def test_documents_survive_processes_and_disks(nlp: Language) -> None:
    texts = [REPORT, "Edema.", "", "No effusion."] * 2
    alone = list(nlp.pipe(texts))
    stored = list(DocBin(docs=alone, store_user_data=True).get_docs(nlp.vocab))
    for docs in (list(nlp.pipe(texts, n_process=2, batch_size=3)), stored):
        assert [doc._.cxr_labels for doc in docs] == [doc._.cxr_labels for doc in alone]
        assert [said(list(doc.ents)) for doc in docs] == [said(list(doc.ents)) for doc in alone]
    part = alone[0][6:].as_doc(copy_user_data=True)
    assert [ent._.value for ent in part.ents] == [1, 0, -1, 1]


def test_labels_are_those_of_the_command_on_open_i(nlp: Language) -> None:
    spec = importlib.util.find_spec("torchxrayvision")
    if spec is None or spec.origin is None:
        pytest.skip("torchxrayvision, whose wheel holds the Open-i reports, is not installed")
    archive = Path(spec.origin).parent / "data" / "NLMCXR_reports.tgz"
    reports = [r.text for r in itertools.islice(read_reports(archive, lambda e, s: None), 400)]
    for text, doc in zip(reports, nlp.pipe(reports), strict=True):
        assert doc._.cxr_labels == cxrtool.label(text)
        assert doc.text == text


def test_spacy_finds_the_component_by_itself(entry_points: dict[str, str]) -> None:
    code = (
        "import spacy; nlp = spacy.blank('en'); nlp.add_pipe('cxr_findings'); "
        "doc = nlp('No effusion.'); assert doc.ents[0]._.value == 0"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=entry_points)
    assert done.returncode == 0, done.stderr.decode()
