"""The leak guard of `cxr edit`: what generator, CLIP and teacher have seen of each other's data.

In: their folders. Out: nothing, or a refusal (exit 5), before any work: a CLIP and a generator of
different training data, one of them fitted to rows that the other one was chosen by, a teacher that
was trained on made images. And what the run has seen, for those after it.
"""

from functools import reduce
from pathlib import Path

from cxrtool.commands.edit.options import Config
from cxrtool.core import console
from cxrtool.core.errors import GateError
from cxrtool.core.reading import read_json
from cxrtool.data import manifest, select
from cxrtool.data.keys import SEEN, Seen, unknown_history


def guard(config: Config) -> None:
    """Refuse networks that must not be used together.

    Raises:
        GateError: see the module.
    """
    generator = Seen.load(config.gan)
    encoder = Seen() if config.clip is None else Seen.load(config.clip)
    if caution := unknown_history(seen_of(config)):
        console.warn(caution)
    refuse_held_out("CLIP", encoder, "generator", generator)
    refuse_held_out("generator", generator, "CLIP", encoder)
    refuse_other_data(generator, encoder)
    if config.teacher is not None:
        refuse_made_images(config.teacher)


def refuse_other_data(generator: Seen, encoder: Seen) -> None:
    """Refuse a generator and a CLIP without a common training image or patient.

    Raises:
        GateError: there is none, although the ids can be compared.
    """
    patients, images, doubtful = generator.shared(encoder)
    if not _any(generator) or not _any(encoder) or patients or images:
        return
    if doubtful:
        console.warn(
            f"generator and CLIP share no training image, but {doubtful:,} patient ids: if these"
            " are people of two hospitals, the CLIP may misread what the generator makes; name each"
            " hospital with cxr prepare --namespace"
        )
        return
    if generator.patients.keys() & encoder.patients.keys():
        raise GateError(
            "generator and CLIP were trained on different data: no patient and no image in common",
            hint="train the CLIP on the generator's training data: cxr finetune-clip DATA",
        )
    console.warn(
        "generator and CLIP share no training image: the CLIP may misread what the generator makes"
    )


def refuse_held_out(who: str, seen: Seen, other: str, others: Seen) -> None:
    """Refuse a network that was fitted to rows that another one was chosen by.

    Raises:
        GateError: it was.
    """
    if others.chosen_by is None:
        return
    same_people = seen.shared(others)[1] > 0
    patients, images, _ = seen.fitted().shared(others.chosen_by, same_people=same_people)
    if count := patients or images:
        raise GateError(
            f"leak: the {who} was trained on {count:,} held-out patients or images of the {other}",
            hint="train both on the train split of the same preparation",
        )


def refuse_made_images(teacher: Path) -> None:
    """Refuse a teacher that was trained on synthetic or edited images.

    Raises:
        GateError: it was: it would confirm what generators make.
    """
    file = teacher / "model.json"
    made = read_json(file).get("images", {}) if file.is_file() else {}
    count = sum(int(n) for part, n in made.items() if part.startswith("synthetic"))
    if count:
        raise GateError(
            f"the teacher {teacher} was trained on {count:,} synthetic or edited images: it would "
            "confirm what generators make",
            hint="give one of real images alone: cxr train-cls DATA",
        )


def seen_of(config: Config) -> Seen:
    """What generator, CLIP, edited images, teacher and second CLIP have seen."""
    readers = [folder for folder in (config.teacher, config.judge) if folder is not None]
    return reduce(Seen.merge, map(Seen.load, readers), steering(config))


def steering(config: Config) -> Seen:
    """What generator, CLIP and the edited images themselves have seen."""
    steers = (config.gan, config.clip)
    folders, edited = [folder for folder in steers if folder is not None], Seen()
    if config.data is not None:
        dataset = manifest.load_dataset(config.data)
        edited = Seen.of(dataset, select.select_rows(dataset, config))
        folders += [config.data] if (config.data / SEEN).is_file() else []
    return reduce(Seen.merge, map(Seen.load, folders), edited)


def _any(seen: Seen) -> bool:
    return bool(seen.looks or any(seen.patients.values()))
