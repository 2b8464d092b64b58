"""Which parts of a model are exported, and as which graphs."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from audiovq import release
from audiovq.bottlenecks._base import DiscreteBottleneck
from audiovq.errors import ConfigError
from audiovq.export import graphs, streams
from audiovq.export.graphs import Graph
from audiovq.export.spectra import by_products
from audiovq.nn.conv import fold_weight_norm

if TYPE_CHECKING:
    from audiovq.autoencoder import Autoencoder

PARTS = ("encoder", "decoder")


@dataclass(frozen=True)
class Wanted:
    """What of a model is exported.

    Attributes:
        parts: of `PARTS`.
        codebooks: the first so many of a residual model's; None: all.
        speaker: who is heard, by name; None: whoever the input `speaker` says.
        streaming: whether graphs for streams are wanted too, where the model is causal.
    """

    parts: tuple[str, ...] = PARTS
    codebooks: int | None = None
    speaker: str | None = None
    streaming: bool = True

    def __post_init__(self) -> None:
        if not self.parts or not set(self.parts) <= set(PARTS):
            raise ConfigError(
                f"what to export: {', '.join(self.parts) or 'nothing'} given; encoder, decoder or "
                f"both, as in encoder,decoder, are accepted"
            )


ALL = Wanted()


def of(model: "Autoencoder", wanted: Wanted) -> list[Graph]:
    """Return the graphs of a copy of a model on the CPU.

    Raises:
        ConfigError: the model has no such codebooks or speaker.
    """
    copied = plain(model)
    rows = _rows(copied, wanted.codebooks)
    if wanted.speaker is not None:
        copied.speaker_index([wanted.speaker])  # refused also where only the encoder is wanted
    found = []
    for part in PARTS:
        if part not in wanted.parts:
            continue
        streaming = wanted.streaming and not streams.refusal(model, part)
        if part == "encoder":
            found.append(graphs.encoder(copied, rows))
            found += [streams.encoder(copied, rows)] if streaming else []
        else:
            found.append(graphs.decoder(copied, rows, wanted.speaker))
            found += [streams.decoder(copied, rows, wanted.speaker)] if streaming else []
    return found


def plain(model: "Autoencoder") -> "Autoencoder":
    """Return a copy of a model, on the CPU, that exporters understand; it cannot be trained."""
    with torch.device("meta"):
        copied = type(model)(model.config)
    fold_weight_norm(copied)
    tensors = {name: value.cpu() for name, value in release.plain_state(model).items()}
    copied.load_state_dict(tensors, assign=True)
    by_products(copied)
    return copied.eval().requires_grad_(requires_grad=False)


def _rows(model: "Autoencoder", codebooks: int | None) -> int:
    """Return how many rows the codes have, or the embedding."""
    if codebooks is None:
        return model.num_codebooks or model.bottleneck.out_channels
    if not isinstance(model.bottleneck, DiscreteBottleneck):
        raise ConfigError(
            f"a model with the bottleneck {model.config.bottleneck.name!r} is continuous and has "
            f"no codebooks: leave --codebooks out"
        )
    if not 1 <= codebooks <= model.num_codebooks:
        raise ConfigError(
            f"{codebooks} codebooks asked for; 1 to {model.num_codebooks} are accepted"
        )
    model.bottleneck.decode(torch.zeros(1, codebooks, 1, dtype=torch.int64))  # or says why not
    return codebooks
