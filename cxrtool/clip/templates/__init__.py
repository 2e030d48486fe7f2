"""Prompt templates: how a finding is put into words, as data.

In: the name of a file of this folder, or the path of a TOML file of the same form. Out: the prompts
that say that a label is there or is not, the ones about a free text, and the neutral texts. The
form is that of `radiograph.toml`: `neutral`, `positive` and `negative` lists (the last two with
"{}"), and for single labels `[labels.NAME]` with `phrases`, or whole `positive` and `negative`
prompts, and with `allows` where a label means that no other one is there.
"""

import re
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from cxrtool.core.errors import InputError
from cxrtool.core.reading import read_text
from cxrtool.data.maps import canonical


@dataclass(frozen=True)
class Templates:
    """The prompts of one file.

    Attributes:
        neutral: Texts of an image without any finding; the first one stands for them.
        positive: Templates that say something is there.
        negative: Templates that say it is not.
        labels: Entries of single labels (see the module).
    """

    neutral: tuple[str, ...]
    positive: tuple[str, ...]
    negative: tuple[str, ...]
    labels: dict[str, dict[str, Any]] = field(default_factory=dict)

    def phrases(self, label: str) -> list[str]:
        """How a label is spoken."""
        return list(self.labels.get(label, {}).get("phrases", [label.lower()]))

    def prompts(self, label: str, present: bool) -> list[str]:
        """All prompts that say that a label is there, or that it is not."""
        key = "positive" if present else "negative"
        own = self.labels.get(label, {}).get(key)
        if own is not None:
            return list(own)
        templates = self.positive if present else self.negative
        phrases = self.phrases(label)
        if not present:  # "no enlarged heart", not "no an enlarged heart"
            phrases = [re.sub(r"^(an?|the) ", "", phrase) for phrase in phrases]
        return [t.replace("{}", phrase) for phrase in phrases for t in templates]

    def about(self, text: str) -> list[str]:
        """A free text in every positive template."""
        return [template.replace("{}", text) for template in self.positive]

    def excludes(self, labels: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Every label that means the absence of others -> those others.

        An entry with `allows` says that its label means the absence of all but those listed; it
        counts for the label's other spellings too.
        """
        absent = {label: self._allowed(label) for label in labels}
        return {
            label: tuple(
                other
                for other in labels
                if absent[other] is None and not {other, canonical(other)} & allowed
            )
            for label, allowed in absent.items()
            if allowed is not None
        }

    def _allowed(self, label: str) -> set[str] | None:
        entry = self.labels.get(label, self.labels.get(canonical(label), {}))
        return set(entry["allows"]) if "allows" in entry else None

    def contradicted_by(self, present: Sequence[str], labels: Sequence[str]) -> list[str]:
        """The labels that cannot be there together with those present."""
        return [
            label for label, others in self.excludes(labels).items() if set(others) & set(present)
        ]

    def to_json(self) -> dict[str, Any]:
        """For model.json: a model travels with the prompts it was chosen by."""
        return asdict(self)


def load_templates(name: str) -> Templates:
    """Read the templates called `name`, or the file at that path.

    Raises:
        InputError: no such templates, or a file of another form.
    """
    own = resources.files(__package__) / f"{name}.toml"
    path = Path(name)
    try:
        content = tomllib.loads(own.read_text("utf-8") if own.is_file() else read_text(path))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(
            f"no prompt templates there ({error})",
            file=path,
            hint=f"give {' or '.join(names())}, or a TOML file of that form",
        ) from error
    return from_json(content, path)


def from_json(content: dict[str, Any], file: Path) -> Templates:
    """Templates from the content of a file or of a model.json.

    Raises:
        InputError: content of another form.
    """
    prompts: dict[str, tuple[str, ...]] = {}
    for key in ("neutral", "positive", "negative"):
        texts = content.get(key)
        is_list = isinstance(texts, list | tuple) and all(isinstance(t, str) for t in texts)
        if not texts or not is_list:
            raise InputError(f"{key} must be a list of texts, not empty", file=file)
        if key != "neutral" and not all("{}" in text for text in texts):
            raise InputError(f"every text of {key} needs a {{}}", file=file)
        prompts[key] = tuple(texts)
    return Templates(**prompts, labels=content.get("labels", {}))


def names() -> list[str]:
    """Names of the templates that come with the package."""
    entries = resources.files(__package__).iterdir()
    return sorted(entry.name[:-5] for entry in entries if entry.name.endswith(".toml"))
