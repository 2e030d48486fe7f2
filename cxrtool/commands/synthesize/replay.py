"""``cxr synthesize --replay``: images made again from their rows.

In: the manifest of a synthetic set, the generator, the edits that pushed its images. Out: the same
images as a dataset directory of their own, compared with the originals that are at hand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cxrtool.core import console

if TYPE_CHECKING:
    from cxrtool.commands.synthesize.options import Config
    from cxrtool.core.runs import Run


def replay(run: Run, config: Config) -> dict[str, Any]:
    """Make images again from their rows."""
    from cxrtool import generators as gans
    from cxrtool.synthesis.generators import GeneratorCard
    from cxrtool.synthesis.replay import find_rows, open_manifest, recipe, remake
    from cxrtool.training.device import setup
    from cxrtool.training.directions import load_directions

    card = GeneratorCard.open(run.input("gan").path)
    dataset = open_manifest(run.input("replay").path)
    rows = find_rows(dataset, config.only)
    recipes = [recipe(dataset, row, card.fingerprint) for row in rows]
    device = setup(config.device, config.threads)
    found = [one for folder in config.edit for one in load_directions(folder)]
    edits = {direction.fingerprint: way for direction, way in found}
    summary = remake(run, dataset, recipes, gans.load(card.folder, device), device, edits)
    console.say(
        f"{summary['images']} images made again; of {summary['compared']} originals at hand "
        f"{summary['identical']} are identical, largest difference "
        f"{summary['largest_difference']} gray levels"
    )
    return summary
