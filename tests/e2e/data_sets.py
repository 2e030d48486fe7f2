"""Public data sets in miniature: the layouts of ``docs/how-to/datasets.md``, with invented rows.

Each function writes one set below a folder as its download lies on disk, and is called as the row
of the table is. What `cxr prepare` must make of it stands beside, in `EXPECTED`.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cxrtool import cli
from cxrtool.data.labels import CHEXPERT
from tests.e2e.prepare_sources import drawing
from tests.unit.data.sources import dicom_files

#: Name of a row of the table -> what writes it.
LAYOUTS: dict[str, Callable[[Path], None]] = {}


@dataclass(frozen=True)
class Expected:
    """What the row's command makes of the layout.

    Attributes:
        images: Rows of the manifest.
        patients: Different patient ids; 0 = there are none.
        positive: Label -> images in which it is 1; all labels of the set if `whole`.
        split: Split -> images, where the set has an official one.
        views: The views in order, where they are said.
        filled: Other columns, and how many images have something there.
        covered: Labels that the set says nothing about are not among these; None = all.
        namespace: Whose patient ids they are.
        said: Parts of sentences on stderr.
        files: Further files of the output.
    """

    images: int
    patients: int
    positive: Mapping[str, int]
    namespace: str
    split: Mapping[str, int] = field(default_factory=dict)
    views: Sequence[str] = ()
    filled: Mapping[str, int] = field(default_factory=dict)
    uncovered: Sequence[str] = ()
    said: Sequence[str] = ()
    files: Sequence[str] = ()


EXPECTED: dict[str, Expected] = {}


def layout(name: str, expected: Expected) -> Callable[[Callable[[Path], None]], None]:
    """Enter what writes a row's layout."""

    def enter(write: Callable[[Path], None]) -> None:
        LAYOUTS[name], EXPECTED[name] = write, expected

    return enter


def _image(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(drawing(seed)).save(path)


def _dicom(path: Path, seed: int, **elements: Any) -> None:
    dicom_files.save(dicom_files.dataset(dicom_files.image_12bit(seed), **elements), path)


def _csv(path: Path, rows: Sequence[Mapping[str, Any]], header: Sequence[str] = ()) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, header or list(rows[0]), restval="")
        writer.writeheader()
        writer.writerows(rows)


def _chexpert_row(path: str, view: str = "Frontal", **labels: str) -> dict[str, str]:
    facts = {"Path": path, "Sex": "Female", "Age": "68", "Frontal/Lateral": view, "AP/PA": "AP"}
    return {**facts, **dict.fromkeys(CHEXPERT, ""), **labels}


@layout(
    "CheXpert",
    Expected(
        images=4,
        patients=3,
        positive={"No Finding": 1, "Pleural Effusion": 2},
        namespace="chexpert",
        split={"train": 1, "val": 2, "test": 1},
        views=["AP", "LATERAL", "AP", "AP"],
        filled={"sex": 4, "age": 4},
    ),
)
def _chexpert(root: Path) -> None:
    names = [
        "train/patient00001/study1/view1_frontal.jpg",
        "train/patient00001/study1/view2_lateral.jpg",
        "train/patient00002/study1/view1_frontal.jpg",
        "valid/patient64541/study1/view1_frontal.jpg",
    ]
    folder = root / "CheXpert-v1.0-small"
    rows = [
        _chexpert_row(f"CheXpert-v1.0-small/{name}", "Lateral" if "lateral" in name else "Frontal")
        for name in names
    ]
    rows[0]["Pleural Effusion"] = rows[1]["Pleural Effusion"] = "1.0"
    rows[2]["No Finding"], rows[2]["Edema"] = "1.0", "0.0"
    _csv(folder / "train.csv", rows[:3])
    _csv(folder / "valid.csv", rows[3:])
    for seed, name in enumerate(names):
        _image(folder / name, seed)


@layout(
    "CheXpert Plus",
    Expected(
        images=4,
        patients=3,
        positive={"Edema": 1, "Cardiomegaly": 1},
        namespace="chexpert",
        split={"train": 1, "val": 2, "test": 1},
        views=["AP", "LATERAL", "PA", "AP"],
        filled={"report": 4, "findings": 2, "impression": 4, "sex": 4, "age": 4},
        said=["labels by report_fixed.json; to read others, give impression_fixed.json"],
    ),
)
def _chexpert_plus(root: Path) -> None:
    folder = root / "chexpert_plus"
    rows, labels = [], []
    for seed, (part, patient, study, view, position) in enumerate(
        [
            ("train", 42142, 5, "view1_frontal", "AP"),
            ("train", 42142, 5, "view2_lateral", ""),
            ("train", 2, 1, "view1_frontal", "PA"),
            ("valid", 64541, 1, "view1_frontal", "AP"),
        ]
    ):
        name = f"{part}/patient{patient:05d}/study{study}/{view}"
        rows.append(
            {
                "path_to_image": f"{name}.jpg",
                "path_to_dcm": f"{name}.dcm",
                "frontal_lateral": "Lateral" if "lateral" in view else "Frontal",
                "ap_pa": position,
                "deid_patient_id": f"patient{patient:05d}",
                "patient_report_date_order": study,
                "report": f"NARRATIVE:\nCHEST {seed}.\nIMPRESSION: 1. Clear lungs.",
                "section_findings": "Clear lungs." if seed % 2 else "",
                "section_impression": "1. Clear lungs.",
                "age": 60.0 + seed,
                "sex": "Male",
                "race": "Unknown",
                "split": part,
            }
        )
        cells = {**dict.fromkeys(CHEXPERT), "Edema": [1.0, 0.0, None, -1.0][seed]}
        labels.append({"path_to_image": f"{name}.jpg", **cells})
        _image(folder / "PNG" / f"{name}.png", seed)
    labels[2]["Cardiomegaly"] = 1.0
    _csv(folder / "df_chexpert_plus_240401.csv", rows)
    for name in ("report_fixed.json", "impression_fixed.json"):
        path = folder / "chexbert_labels" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in labels))


def _nih_row(name: str, findings: str, view: str = "PA") -> dict[str, Any]:
    return {
        "Image Index": name,
        "Finding Labels": findings,
        "Follow-up #": int(name.split("_")[1].split(".")[0]),
        "Patient ID": int(name.split("_")[0]),
        "Patient Age": 58,
        "Patient Gender": "M",
        "View Position": view,
    }


@layout(
    "NIH ChestX-ray14",
    Expected(
        images=4,
        patients=3,
        positive={"No Finding": 2, "Pleural Effusion": 1, "Mass": 1, "Hernia": 0},
        namespace="nih",
        split={"train": 1, "val": 1, "test": 2},
        views=["PA", "PA", "AP", "PA"],
        filled={"sex": 4, "age": 4},
    ),
)
def _nih(root: Path) -> None:
    rows = [
        _nih_row("00000001_000.png", "No Finding"),
        _nih_row("00000002_000.png", "Effusion"),
        _nih_row("00000003_000.png", "Mass", "AP"),
        _nih_row("00000003_001.png", "No Finding"),
    ]
    names = [row["Image Index"] for row in rows]
    folder = root / "ChestX-ray14"
    _csv(folder / "Data_Entry_2017_v2020.csv", rows)
    (folder / "train_val_list.txt").write_text("\n".join(names[:2]) + "\n")
    (folder / "test_list.txt").write_text("\n".join(names[2:]) + "\n")
    for seed, name in enumerate(names):
        _image(folder / f"images_{1 + seed // 2:03d}" / "images" / name, seed)


@layout(
    "Google's labels of NIH",
    Expected(
        images=4,
        patients=3,
        positive={"Fracture": 1, "Lung Opacity": 2, "Nodule/Mass": 0, "Pneumothorax": 0},
        namespace="nih",
        split={"val": 2, "test": 2},
        views=["AP", "PA", "PA", "PA"],
        filled={"sex": 4, "age": 4},
    ),
)
def _nih_google(root: Path) -> None:
    def row(name: str, fracture: str, opacity: str, view: str = "PA") -> dict[str, Any]:
        labels = {"Fracture": fracture, "Pneumothorax": "NO", "Airspace opacity": opacity}
        return {**_nih_row(name, "No Finding", view), **labels, "Nodule or mass": "NO"}

    folder = root / "ChestX-ray14" / "four_findings_expert_labels"
    test = [row("00000001_000.png", "YES", "NO", "AP"), row("00000001_001.png", "NO", "NO")]
    validation = [row("00000002_000.png", "NO", "YES"), row("00000003_000.png", "NO", "YES")]
    _csv(folder / "test_labels.csv", test)
    _csv(folder / "validation_labels.csv", validation)
    for seed, entry in enumerate([*test, *validation]):
        _image(root / "ChestX-ray14" / "images" / entry["Image Index"], seed)


_MIMIC_IMAGES = [
    ("10000032", "50414267", "02aa804e-bde0afdd-112c0b34-7bc16630-4e384014", "PA", "train"),
    ("10000032", "50414267", "174413ec-4ec4c1f7-34ea26b7-c5f994f8-79ef1962", "LATERAL", "train"),
    ("10000764", "57375967", "096052b7-d256dc40-453a102b-fa7d01c6-1b22c6b4", "AP", "validate"),
    ("10002221", "51879412", "2f3c8a0e-7c5a4e1b-9d0f6a32-1b4c5d6e-7f809a1b", "AP", "test"),
]


def _mimic_tables(folder: Path) -> None:
    rows = [
        {
            "dicom_id": image,
            "subject_id": p,
            "study_id": s,
            "ViewPosition": v,
            "StudyDate": 21800506,
        }
        for p, s, image, v, _ in _MIMIC_IMAGES
    ]
    _csv(folder / "mimic-cxr-2.0.0-metadata.csv", rows)
    _csv(
        folder / "mimic-cxr-2.0.0-split.csv",
        [
            {"dicom_id": image, "study_id": s, "subject_id": p, "split": split}
            for p, s, image, _, split in _MIMIC_IMAGES
        ],
    )
    studies = dict.fromkeys((p, s) for p, s, *_ in _MIMIC_IMAGES)
    blank = dict.fromkeys(CHEXPERT, "")
    labels = [{"subject_id": p, "study_id": s, **blank} for p, s in studies]
    labels[0]["No Finding"], labels[1]["Edema"], labels[2]["Edema"] = "1.0", "-1.0", "1.0"
    _csv(folder / "mimic-cxr-2.0.0-chexpert.csv", labels)
    names = [name.replace("Lung Opacity", "Airspace Opacity") for name in sorted(CHEXPERT)]
    expert = {"study_id": "51879412", **dict.fromkeys(names, ""), "Airspace Opacity": "1.0"}
    _csv(folder / "mimic-cxr-2.1.0-test-set-labeled.csv", [expert])
    for seed, (p, s, image, *_) in enumerate(_MIMIC_IMAGES):
        _image(folder / f"files/p{p[:2]}/p{p}/s{s}/{image}.jpg", seed)


@layout(
    "MIMIC-CXR-JPG",
    Expected(
        images=4,
        patients=3,
        positive={"No Finding": 2, "Edema": 1},
        namespace="mimic-cxr",
        split={"train": 2, "val": 1, "test": 1},
        views=["PA", "LATERAL", "AP", "AP"],
        filled={"report": 2},
        said=["mimic-cxr-2.1.0-test-set-labeled.csv is not used"],
    ),
)
def _mimic(root: Path) -> None:
    folder = root / "mimic-cxr-jpg" / "2.1.0"
    _mimic_tables(folder)
    text = folder / "mimic-cxr-reports/files/p10/p10000032/s50414267.txt"
    text.parent.mkdir(parents=True)
    text.write_text("FINDINGS: Clear.\nIMPRESSION: Normal.\n")


@layout(
    "MIMIC-CXR-JPG, radiologists",
    Expected(
        images=1,
        patients=1,
        positive={"Lung Opacity": 1, "Edema": 0},
        namespace="mimic-cxr",
        split={"test": 1},
        said=["1 images of the 1 studies that they read; 3 images of others are left out"],
    ),
)
def _mimic_radiologists(root: Path) -> None:
    _mimic_tables(root / "mimic-cxr-jpg" / "2.1.0")


@layout(
    "MIMIC-CXR, sections",
    Expected(
        images=4,
        patients=3,
        positive={"No Finding": 2, "Edema": 1},
        namespace="mimic-cxr",
        split={"train": 2, "val": 1, "test": 1},
        filled={"report": 3, "findings": 2, "impression": 2},
    ),
)
def _mimic_sections(root: Path) -> None:
    folder = root / "mimic-cxr-jpg" / "2.1.0"
    _mimic_tables(folder)
    row = {"study": "s50414267", "impression": "Normal.", "findings": "Clear."}
    last = {"study": "s57375967", "last_paragraph": "Mild edema."}
    header = ("study", "impression", "findings", "last_paragraph", "comparison")
    _csv(folder / "mimic_cxr_sectioned.csv", [row, last], header)


@layout(
    "PadChest",
    Expected(
        images=3,
        patients=3,
        positive={"No Finding": 1, "Cardiomegaly": 1, "Pleural Effusion": 1},
        namespace="padchest",
        views=["PA", "LATERAL", "AP"],
        filled={"report": 3, "sex": 3, "age": 3},
    ),
)
def _padchest(root: Path) -> None:
    rows = [
        {
            "ImageID": f"{seed}_{'ab' * 8}.png",
            "ImageDir": seed,
            "StudyDate_DICOM": "20140915",
            "StudyID": f"study{seed}",
            "PatientID": f"patient{seed}",
            "PatientBirth": "1938.0",
            "PatientSex_DICOM": "F",
            "Projection": ["PA", "L", "AP_horizontal"][seed],
            "Report": "torax normal .",
            "Labels": ["['normal']", "['cardiomegaly']", "['pleural effusion']"][seed],
        }
        for seed in range(3)
    ]
    folder = root / "PadChest"
    _csv(folder / "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv", rows)
    for seed, row in enumerate(rows):
        _image(folder / str(seed) / str(row["ImageID"]), seed)


def _openi_xml(images: Sequence[str], mesh: str) -> str:
    pictures = "".join(f'<parentImage id="{name}"/>' for name in images)
    return (
        "<eCitation><Abstract>"
        '<AbstractText Label="FINDINGS">Clear.</AbstractText>'
        '<AbstractText Label="IMPRESSION">Normal chest.</AbstractText>'
        f"</Abstract>{pictures}<MeSH><major>{mesh}</major></MeSH></eCitation>"
    )


@layout(
    "Open-i",
    Expected(
        images=3,
        patients=0,
        positive={"No Finding": 2, "Cardiomegaly": 1},
        namespace="openi",
        filled={"report": 3, "findings": 3, "impression": 3},
        uncovered=["Enlarged Cardiomediastinum"],
    ),
)
def _openi(root: Path) -> None:
    folder = root / "openi"
    images = [["CXR1_1_IM-0001-3001", "CXR1_1_IM-0001-4001"], ["CXR2_IM-0652-1001"]]
    folder.mkdir(parents=True)
    with tarfile.open(folder / "NLMCXR_reports.tgz", "w:gz") as archive:
        for number, (names, mesh) in enumerate(zip(images, ("normal", "Cardiomegaly")), 1):
            data = _openi_xml(names, mesh).encode()
            entry = tarfile.TarInfo(f"ecgen-radiology/{number}.xml")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    for seed, name in enumerate([*images[0], *images[1]]):
        _image(folder / "NLMCXR_png" / f"{name}.png", seed)


@layout(
    "Open-i at Kaggle",
    Expected(
        images=3,
        patients=0,
        positive={"No Finding": 2, "Cardiomegaly": 1},
        namespace="openi",
        views=["FRONTAL", "LATERAL", "FRONTAL"],
        filled={"report": 3, "findings": 3, "impression": 3},
        uncovered=["Enlarged Cardiomediastinum"],
    ),
)
def _openi_kaggle(root: Path) -> None:
    folder = root / "indiana"
    text = {"indication": "Pain.", "findings": "Clear.", "impression": "Normal chest."}
    head = {"image": "Xray Chest PA and Lateral", "comparison": "None."}
    _csv(
        folder / "indiana_reports.csv",
        [
            {"uid": 1, "MeSH": "normal", "Problems": "normal", **head, **text},
            {"uid": 2, "MeSH": "Cardiomegaly/mild;Pulmonary Artery/enlarged", **head, **text},
        ],
    )
    images = [
        (1, "1_IM-0001-4001.dcm.png", "Frontal"),
        (1, "1_IM-0001-3001.dcm.png", "Lateral"),
        (2, "2_IM-0652-1001.dcm.png", "Frontal"),
    ]
    rows = [dict(zip(("uid", "filename", "projection"), row, strict=True)) for row in images]
    _csv(folder / "indiana_projections.csv", rows)
    for seed, (_, name, _) in enumerate(images):
        _image(folder / "images" / "images_normalized" / name, seed)


_VINDR = ("Aortic enlargement", "Cardiomegaly", "Pleural effusion", "No finding")


@layout(
    "VinDr-CXR",
    Expected(
        images=3,
        patients=0,
        positive={"Cardiomegaly": 2, "Pleural Effusion": 0, "No Finding": 1},
        namespace="vindr",
        split={"train": 1, "val": 1, "test": 1},
        views=["PA"] * 3,
        filled={"sex": 3, "age": 3},
        said=["6 readings of 2 images joined (--readers majority)", "Pleural effusion 1"],
        files=["boxes.csv"],
    ),
)
def _vindr(root: Path) -> None:
    folder = root / "vindr-cxr" / "1.0.0"
    images = {name: name * 32 for name in "abc"}
    seen = {"a": [(0, 1, 0, 0), (0, 1, 0, 0), (0, 1, 1, 0)], "b": [(0, 0, 0, 1)] * 3}
    rows = [
        {"image_id": images[name], "rad_id": f"R{reader}", **dict(zip(_VINDR, cells, strict=True))}
        for name, readings in seen.items()
        for reader, cells in enumerate(readings, 1)
    ]
    _csv(folder / "annotations" / "image_labels_train.csv", rows)
    test = {"image_id": images["c"], **dict(zip(_VINDR, (0, 1, 0, 0), strict=True))}
    _csv(folder / "annotations" / "image_labels_test.csv", [{**test, "Other disease": 0}])
    box = dict(zip(("x_min", "y_min", "x_max", "y_max"), (3.5, 4, 30, 31), strict=True))
    header = ("image_id", "rad_id", "class_name", *box)
    none = {"image_id": images["b"], "rad_id": "R1", "class_name": "No finding"}
    boxes: list[dict[str, Any]] = [
        {"image_id": images["a"], "rad_id": "R1", "class_name": "Cardiomegaly", **box},
        none,
    ]
    _csv(folder / "annotations" / "annotations_train.csv", boxes, header)
    for seed, (name, part) in enumerate(zip("abc", ("train", "train", "test"), strict=True)):
        _dicom(folder / part / f"{images[name]}.dicom", seed, Modality=None, ViewPosition=None)


@layout(
    "VinBigData",
    Expected(
        images=2,
        patients=0,
        positive={"Cardiomegaly": 1, "Pleural Effusion": 0, "No Finding": 1, "Edema": 0},
        namespace="vindr",
        views=["PA", "PA"],
        files=["boxes.csv"],
    ),
)
def _vinbigdata(root: Path) -> None:
    folder = root / "vinbigdata"
    header = ("image_id", "class_name", "class_id", "rad_id", "x_min", "y_min", "x_max", "y_max")
    box = dict(zip(header[4:], (691.0, 1375.0, 1653.0, 1831.0), strict=True))
    sick, well = "a" * 32, "b" * 32
    rows = [
        {"image_id": sick, "class_name": name, "class_id": number, "rad_id": reader, **box}
        for reader, name, number in [
            ("R9", "Cardiomegaly", 3),
            ("R9", "Cardiomegaly", 3),
            ("R10", "Cardiomegaly", 3),
            ("R8", "Pleural effusion", 10),
        ]
    ]
    nothing = {"class_name": "No finding", "class_id": 14}
    rows += [{"image_id": well, "rad_id": reader, **nothing} for reader in ("R1", "R2", "R3")]
    _csv(folder / "train.csv", rows, header)
    for seed, name in enumerate((sick, well)):
        _image(folder / "train" / f"{name}.png", seed)


@layout(
    "BRAX",
    Expected(
        images=3,
        patients=2,
        positive={"No Finding": 2, "Edema": 1},
        namespace="brax",
        views=["PA", "LATERAL", "AP"],
        filled={"sex": 3, "age": 3, "manufacturer": 3},
    ),
)
def _brax(root: Path) -> None:
    folder = root / "brax" / "1.1.0"
    rows = []
    for seed, (patient, view) in enumerate([("a", "PA"), ("a", "L"), ("b", "AP")]):
        place = f"id_{patient}/Study_1.{patient}/Series_{seed}/image-{seed}"
        rows.append(
            {
                "": seed,
                "DicomPath": f"Anonymized_DICOMs/{place}.dcm",
                "PngPath": f"images/{place}.png",
                "PatientID": f"id_{patient}",
                "PatientSex": "F",
                "PatientAge": ["40", "40", "85 or more"][seed],
                "AccessionNumber": "1",
                "StudyDate": "20140101",
                **dict.fromkeys(CHEXPERT, ""),
                "ViewPosition": view,
                "Rows": 40,
                "Columns": 32,
                "Manufacturer": "ACME",
            }
        )
        rows[-1]["Edema" if patient == "b" else "No Finding"] = "1.0"
        _image(folder / str(rows[-1]["PngPath"]), seed)
    _csv(folder / "master_spreadsheet_update.csv", rows)


@layout(
    "RSNA Pneumonia",
    Expected(
        images=3,
        patients=2,
        positive={"Lung Opacity": 1, "No Finding": 1},
        namespace="nih",
        views=["PA", "AP", "PA"],
        filled={"sex": 3, "age": 3},
        files=["boxes.csv"],
    ),
)
def _rsna(root: Path) -> None:
    folder = root / "rsna-pneumonia"
    images = [f"0004cfab-14fd-4e49-80ba-63a80b6bddd{seed}" for seed in range(3)]
    header = ("patientId", "x", "y", "width", "height", "Target")
    box = dict(zip(header[1:5], (264.0, 152.0, 213.0, 379.0), strict=True))
    rows: list[dict[str, Any]] = [{"patientId": images[0], **box, "Target": 1}] * 2
    rows += [{"patientId": image, "Target": 0} for image in images[1:]]
    _csv(folder / "stage_2_train_labels.csv", rows, header)
    classes = ["Lung Opacity", "Lung Opacity", "Normal", "No Lung Opacity / Not Normal"]
    info = [
        {"patientId": row["patientId"], "class": name}
        for row, name in zip(rows, classes, strict=True)
    ]
    _csv(folder / "stage_2_detailed_class_info.csv", info)
    mapping = [
        {"subset_img_id": image, "img_id": f"0000001{seed // 2}_00{seed}.png"}
        for seed, image in enumerate(images)
    ]
    (folder / "pneumonia-challenge-dataset-mappings_2018.json").write_text(json.dumps(mapping))
    for seed, image in enumerate(images):
        view = ("PA", "AP", "PA")[seed]
        _dicom(folder / "stage_2_train_images" / f"{image}.dcm", seed, ViewPosition=view)


@layout(
    "SIIM-ACR Pneumothorax",
    Expected(
        images=3,
        patients=0,
        positive={"Pneumothorax": 1},
        namespace="siim",
        views=["PA", "PA", "PA"],
        filled={"sex": 3, "age": 3, "study_id": 3},
        files=["masks.csv"],
    ),
)
def _siim(root: Path) -> None:
    folder = root / "siim"
    images = [f"1.2.276.0.7230010.3.1.4.8323329.{seed}.1517875201.85081" for seed in range(3)]
    masks = [(images[0], " 557374 2 1015 8"), (images[0], " 10 3"), (images[1], " -1")]
    rows = [{"ImageId": i, " EncodedPixels": mask} for i, mask in [*masks, (images[2], " -1")]]
    _csv(folder / "train-rle.csv", rows)
    for seed, image in enumerate(images):
        _dicom(folder / "dicom-images-train" / f"{image}.study" / "series" / f"{image}.dcm", seed)


def _npz(path: Path, labels: Mapping[str, Sequence[Any]]) -> None:
    arrays: dict[str, Any] = {}
    path.parent.mkdir(parents=True, exist_ok=True)
    for number, (split, values) in enumerate(labels.items()):
        count = len(values)
        pixels = [drawing(100 * number + seed, 28, 28) for seed in range(count)]
        arrays[f"{split}_images"] = np.stack(pixels)
        arrays[f"{split}_labels"] = np.array(values, np.uint8)
    np.savez(path, **arrays)


@layout(
    "MedMNIST",
    Expected(
        images=4,
        patients=0,
        positive={"No Finding": 2, "Pneumonia": 2},
        namespace="pneumoniamnist",
        split={"train": 2, "val": 1, "test": 1},
    ),
)
def _medmnist(root: Path) -> None:
    _npz(root / "pneumoniamnist.npz", {"train": [[0], [1]], "val": [[1]], "test": [[0]]})


@layout(
    "Other .npz",
    Expected(
        images=4,
        patients=0,
        positive={"Edema": 2, "Mass": 2},
        namespace="medmnist",
        split={"train": 2, "val": 1, "test": 1},
    ),
)
def _other_npz(root: Path) -> None:
    _npz(root / "own.npz", {"train": [[1, 0], [0, 1]], "val": [[1, 1]], "test": [[0, 0]]})


@layout(
    "Kermany",
    Expected(
        images=4,
        patients=0,
        positive={"NORMAL": 2, "PNEUMONIA": 2},
        namespace="folder",
        split={"train": 2, "val": 1, "test": 1},
    ),
)
def _kermany(root: Path) -> None:
    names = [
        "train/NORMAL/IM-0115-0001.jpeg",
        "train/PNEUMONIA/person1_bacteria_1.jpeg",
        "val/NORMAL/NORMAL2-IM-1427-0001.jpeg",
        "test/PNEUMONIA/person1_virus_6.jpeg",
    ]
    for seed, name in enumerate(names):
        _image(root / "chest_xray" / name, seed)


@layout(
    "Folder of classes",
    Expected(images=4, patients=0, positive={"mass": 2, "normal": 2}, namespace="folder"),
)
def _folder(root: Path) -> None:
    for seed in range(4):
        _image(root / "pictures" / ("normal", "mass")[seed % 2] / f"{seed}.png", seed)


@layout("Images alone", Expected(images=3, patients=0, positive={}, namespace="folder"))
def _images_alone(root: Path) -> None:
    for seed in range(3):
        _image(root / "new" / f"{seed}.png", seed)


@layout(
    "Table",
    Expected(
        images=4,
        patients=2,
        positive={"Edema": 2, "Fracture": 1},
        namespace="table",
        filled={"report": 4},
    ),
)
def _table(root: Path) -> None:
    rows = [
        {
            "path": f"images/{seed}.png",
            "patient_id": f"p{seed // 2}",
            "study_id": f"s{seed}",
            "Edema": seed % 2,
            "Fracture": ["1", "0", "-1", ""][seed],
            "report": "Clear.",
        }
        for seed in range(4)
    ]
    _csv(root / "radiographs" / "labels.csv", rows)
    for seed, row in enumerate(rows):
        _image(root / "radiographs" / str(row["path"]), seed)


@layout(
    "DICOM",
    Expected(
        images=3,
        patients=3,
        positive={"Edema": 1},
        namespace="dicom",
        views=["PA", "PA", "PA"],
        filled={"sex": 3, "age": 3},
    ),
)
def _dicoms(root: Path) -> None:
    rows = []
    for seed in range(3):
        uid = f"1.2.826.0.1.{seed}"
        patient = {"PatientID": f"00{seed}", "StudyInstanceUID": f"1.2.3.{seed}"}
        _dicom(root / "dicom" / f"{seed}" / f"{uid}.dcm", seed, SOPInstanceUID=uid, **patient)
        rows.append({"SOPInstanceUID": uid, "Edema": seed // 2})
    _csv(root / "labels.csv", rows)


@layout(
    "Edited by hand",
    Expected(
        images=7,
        patients=4,
        positive={},
        namespace="phantom",
        said=("rows dropped: 1 (images/0000/0000007.png)", "column 'split': "),
    ),
)
def _edited(root: Path) -> None:
    words = ["prepare", "--format", "phantom", "--n", "8", "--size", "16", "--workers", "1"]
    with contextlib.redirect_stdout(io.StringIO()):
        assert cli.main([*words, "-q", "-o", str(root / "edited")]) == 0
    manifest = root / "edited" / "manifest.csv"
    manifest.write_text(manifest.read_text("utf-8").rpartition("\nimages/")[0] + "\n", "utf-8")


@layout("Phantoms", Expected(images=8, patients=4, positive={}, namespace="phantom"))
def _phantoms(root: Path) -> None:
    pass
