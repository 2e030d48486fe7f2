"""``cxr replay``: images made again from their rows.

In: the manifest of a synthetic set, the generator, the edits that pushed its images. Out: the same
images as a dataset directory of their own, compared with the originals that are at hand.
"""

from typing import Any

from cxrtool import generators as gans
from cxrtool.commands.replay.options import Config
from cxrtool.core import console, runs
from cxrtool.generators.flow.sampling import Sampling
from cxrtool.synthesis.generators import GeneratorCard
from cxrtool.synthesis.replay import find_rows, open_manifest, recipe, remake
from cxrtool.training.device import setup
from cxrtool.training.directions import load_directions


def run(config: Config, run: runs.Run) -> dict[str, Any]:
    """Make images again from their rows."""
    card = GeneratorCard.open(run.input("gan").path)
    dataset = open_manifest(run.input("synth").path)
    recipes = [recipe(dataset, row, card.fingerprint) for row in find_rows(dataset, config.only)]
    device = setup(config.device, config.threads)
    ways = {d.fingerprint: way for folder in config.edit for d, way in load_directions(folder)}
    network = gans.load(card.folder, device)
    if "sampling" in dataset.info.notes:
        network.sampling = Sampling.from_json(dataset.info.notes["sampling"])
    summary = remake(run, dataset, recipes, network, device, ways)
    console.say(
        f"{summary['images']} images made again; of {summary['compared']} originals at hand "
        f"{summary['identical']} are identical, largest difference "
        f"{summary['largest_difference']} gray levels"
    )
    return summary
