"""What models and priors are, known without their weights."""

import math
from dataclasses import dataclass

import torch

from audiovq import registry
from audiovq.autoencoder import AutoencoderConfig
from audiovq.bottlenecks._base import DiscreteBottleneck
from audiovq.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a model is, known without its weights.

    Attributes:
        name: what visitors choose it by; holds no path of the server.
        bottleneck: name of its bottleneck.
        sample_rate: Hz.
        hop_length: samples per frame.
        frame_rate: frames per second (Hz).
        codebook_sizes: N of each row of codes; empty for a continuous model.
        layout: what each row of codes holds.
        bitrate: nominal (bit/s); None for a continuous model.
        prefixes: numbers of first codebooks that it decodes: (1, ..., K) for a residual model, (K,)
            for other discrete ones, () for a continuous one.
        speakers: names it can be given; empty if it takes none.
        hears_voices: whether it takes a voice from a recording, too.
        title: a line for menus.
    """

    name: str
    bottleneck: str
    sample_rate: int
    hop_length: int
    frame_rate: float
    codebook_sizes: tuple[int, ...]
    layout: tuple[str, ...]
    bitrate: float | None
    prefixes: tuple[int, ...]
    speakers: tuple[str, ...]
    hears_voices: bool
    title: str

    @property
    def is_discrete(self) -> bool:
        """Whether it has codes."""
        return bool(self.codebook_sizes)

    @property
    def num_codebooks(self) -> int:
        """Rows of codes; 0 for a continuous model."""
        return len(self.codebook_sizes)


@dataclass(frozen=True, kw_only=True)
class PriorFacts:
    """A prior, or several that together draw every row of a model's codes.

    Attributes:
        name: what visitors choose it by.
        parts: names of the priors, in the order of drawing.
        labels: names that it knows (of speakers), empty if it takes none.
        title: a line for menus.
    """

    name: str
    parts: tuple[str, ...]
    labels: tuple[str, ...]
    title: str


def facts_of(name: str, config: AutoencoderConfig) -> Facts:
    """Return what a model is, of which only the bottleneck is built: the rest costs 0.2 s."""
    with torch.random.fork_rng(devices=[]):
        bottleneck = registry.owner("bottlenecks", config.bottleneck).cls(config.bottleneck)
    discrete = bottleneck if isinstance(bottleneck, DiscreteBottleneck) else None
    sizes = () if discrete is None else discrete.codebook_sizes
    hop = math.prod(config.encoder.strides) * bottleneck.stride
    frame_rate = config.sample_rate / hop
    bitrate = None if discrete is None else frame_rate * sum(math.log2(n) for n in sizes)
    title = f"{name}: {config.bottleneck.name}, {config.sample_rate / 1000:g} kHz"
    if bitrate is not None:
        rows = f"{len(sizes)} \u00d7 " if len(sizes) > 1 else ""
        title += f", {frame_rate:g} Hz, {rows}{max(sizes)} codes, {bitrate:,.0f} bit/s"
    return Facts(
        name=name,
        bottleneck=config.bottleneck.name,
        sample_rate=config.sample_rate,
        hop_length=hop,
        frame_rate=frame_rate,
        codebook_sizes=sizes,
        layout=() if discrete is None else discrete.layout,
        bitrate=bitrate,
        prefixes=() if discrete is None else _prefixes(discrete),
        speakers=tuple(getattr(config.decoder, "speakers", ())),
        hears_voices=getattr(config.decoder, "reference", None) is not None,
        title=title,
    )


def _prefixes(bottleneck: DiscreteBottleneck) -> tuple[int, ...]:
    """Return the numbers of first rows that a bottleneck can decode."""
    found = []
    for number in range(1, len(bottleneck.codebook_sizes) + 1):
        try:
            bottleneck.decode(torch.zeros(1, number, 1, dtype=torch.int64))
        except ConfigError:
            continue
        found.append(number)
    return tuple(found)
