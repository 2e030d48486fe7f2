"""The latents that methods look at before they edit, and how styles vary over them.

In: `Tools` and a generator. Out: w that go round the generator's frequent conditions; the
`Variation` of a run, which belongs to the pair of networks and not to a text: measured once, kept
in the run and used again with `--relevance`.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from cxrtool.editing import variation as variations
from cxrtool.editing.matrix import load_variation, save_variation
from cxrtool.editing.starts import condition_vector, stored_conditions
from cxrtool.editing.tools import Tools
from cxrtool.editing.variation import Variation
from cxrtool.training.directions import generator_fingerprint
from cxrtool.training.protocols import StyleSpace
from cxrtool.training.rng import torch_generator

PSI = 0.7  # of the latents behind statistics and relevance (StyleCLIP)
CONDITIONS = 64  # frequent conditions that they go round


def latents(tools: Tools, generator: StyleSpace, first: int, count: int) -> Tensor:
    """w of the latents first..first+count-1, which go round the generator's frequent conditions."""
    y = conditions(tools, generator)
    rng = torch_generator("channels", first)
    z = torch.randn(count, generator.z_dim, generator=rng).to(tools.device)
    return generator.mapping(z, y[torch.arange(first, first + count) % len(y)], PSI)


def conditions(tools: Tools, generator: StyleSpace) -> Tensor:
    """[K, L] label vectors that latents go round: the generator's frequent ones, or the starts'."""
    vectors = stored_conditions(generator)
    if vectors is None:
        vectors = condition_vector(generator, tools.options.condition)[None]
    return vectors[:CONDITIONS].to(tools.device)


def networks(tools: Tools) -> dict[str, str]:
    """Fingerprints of the generator and the CLIP at hand."""
    options = tools.options
    return {
        role: generator_fingerprint(folder)
        for role, folder in (("generator", options.gan), ("clip", options.clip))
    }


@dataclass(frozen=True, eq=False)
class VariationSource:
    """How styles vary, once it is asked for: from the run that was named, or measured.

    Attributes:
        tools: Networks, options, the run.
        generator: The generator of `tools`, as one with a style space.
    """

    tools: Tools
    generator: StyleSpace

    @cached_property
    def variation(self) -> Variation:
        """The variation; it is in the run afterwards."""
        tools, of = self.tools, networks(self.tools)
        if tools.options.relevance is not None:
            variation = load_variation(tools.options.relevance, of, tools.device)
        else:
            variation = self._measured()
        save_variation(tools.run, variation, of)
        return variation

    def _measured(self) -> Variation:
        tools, y = self.tools, conditions(self.tools, self.generator)
        each = min(len(y), variations.CONDITIONS_EACH)
        patients = variations.PATIENTS * (1 if each > 1 else variations.CONDITIONS_EACH)

        def sample(first: int, count: int) -> Tensor:
            rng = torch_generator("patients", first)
            z = torch.randn(count, self.generator.z_dim, generator=rng)
            rows = [torch.randperm(len(y), generator=rng)[:each] for _ in range(count)]
            own = z.repeat_interleave(each, dim=0).to(tools.device)
            return self.generator.mapping(own, y[torch.cat(rows).to(y.device)], PSI)

        with tools.run.progress("variation of styles", total=patients * each) as bar:

            def on_block(images: int) -> None:
                bar.advance(images)
                tools.run.check_stop()

            return variations.measure_variation(
                self.generator,
                tools.encoder,
                sample,
                patients=patients,
                each=each,
                on_block=on_block,
            )
