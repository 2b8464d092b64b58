"""A causal autoencoder frame by frame: states and frames in, frames and states out.

What `Stream` runs, and what an export with streaming state takes as its graph: pure functions of
tensors, without gradients of their own and without checks. A state is a tuple of tensors, one item
per row, and all zeros before an item's first frame.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from audiovq.bottlenecks._base import Context, DiscreteBottleneck
from audiovq.decoders._base import Decoder
from audiovq.encoders._base import Encoder
from audiovq.errors import ConfigError
from audiovq.nn.precision import without_autocast
from audiovq.nn.stepping import State

if TYPE_CHECKING:
    from audiovq.autoencoder import Autoencoder


def encoder_state(model: "Autoencoder", batch: int, like: Tensor) -> State:
    """Return the encoder's state before the first sample, and behind it the bottleneck's.

    The bottleneck's are encoder frames as far back as it looks, and which of them are real (1) and
    not before the first (0); nothing for one that looks at single frames.

    Args:
        model: whose `encoder` and `bottleneck` are causal.
        batch: items.
        like: a tensor of the dtype and on the device of the state.
    """
    frames = model.bottleneck.context[0] * model.bottleneck.stride
    state = model.encoder.initial_state(batch, like)
    if not frames:
        return state
    past = like.new_zeros(batch, model.bottleneck.in_channels, frames)
    return *state, past, like.new_zeros(batch, 1, frames)


def decoder_state(model: "Autoencoder", batch: int, like: Tensor) -> State:
    """Return the decoder's state before the first frame; arguments as in `encoder_state`."""
    return model.decoder.initial_state(batch, like)


def encode(
    model: "Autoencoder", x: Float[Tensor, "B 1 L"], state: State
) -> tuple[Int[Tensor, "B K T"], State]:
    """Return the codes of the next L = T * hop_length samples, and the new state."""
    assert isinstance(model.bottleneck, DiscreteBottleneck)
    z_e, mask, state = _to_frames(model, x, state)
    codes = model.bottleneck.encode(z_e, Context(mask=mask))
    return codes[..., model.bottleneck.context[0] :], state


def embed(
    model: "Autoencoder", x: Float[Tensor, "B 1 L"], state: State
) -> tuple[Float[Tensor, "B D T"], State]:
    """Return what the decoder would receive for the next samples, and the new state."""
    z_e, mask, state = _to_frames(model, x, state)
    z = model.bottleneck.embed(z_e, Context(mask=mask))
    return z[..., model.bottleneck.context[0] * model.bottleneck.stride :], state


def decode(
    model: "Autoencoder",
    z: Float[Tensor, "B D T"],
    state: State,
    condition: Tensor | None = None,
) -> tuple[Float[Tensor, "B 1 L"], State]:
    """Return the samples of the next frames of what `embed` returns, and the new state."""
    with without_autocast(z.device):
        return model.decoder.step(z, state, Context(condition=condition))


def _to_frames(
    model: "Autoencoder", x: Float[Tensor, "B 1 L"], state: State
) -> tuple[Float[Tensor, "B C S"], Bool[Tensor, "B 1 S"] | None, State]:
    """Return encoder output behind what the bottleneck looks back on, a mask, the new state."""
    frames = model.bottleneck.context[0] * model.bottleneck.stride
    own = state[:-2] if frames else state
    with without_autocast(x.device):
        z_e, own = model.encoder.step(x, own)
    if not frames:
        return z_e, None, own
    z_e = torch.cat([state[-2], z_e], dim=-1)
    real = torch.cat([state[-1], torch.ones_like(z_e[:, :1, frames:])], dim=-1)
    return z_e, real > 0, (*own, z_e[..., -frames:], real[..., -frames:])


def check(model: "Autoencoder", parts: Sequence[str]) -> None:
    """Refuse a model of which one of these parts looks at what comes after its own frames.

    Args:
        model: that is to run frame by frame.
        parts: of `encoder`, `bottleneck` and `decoder`.

    Raises:
        ConfigError: one of them does, or has no steps.
    """
    ahead = {
        "encoder": (model.encoder.receptive_field[1], "samples"),
        "bottleneck": (model.bottleneck.context[1], "frames of codes"),
        "decoder": (model.decoder.receptive_field[1], "frames"),
    }
    looking = [part for part in parts if ahead[part][0] > 0]
    if looking:
        far = ", ".join(f"its {p} looks {ahead[p][0]} {ahead[p][1]} ahead" for p in looking)
        settings = " ".join(f"model.{part}.causal=true" for part in looking)
        raise ConfigError(
            f"this model cannot stream: {far}; train one with {settings}, such as the config "
            f"autoencoder/rvq_live"
        )
    for part, base in (("encoder", Encoder), ("decoder", Decoder)):
        if part in parts and type(getattr(model, part)).step is base.step:
            raise ConfigError(
                f"this model cannot stream: its {part}, {getattr(model.config, part).name!r}, "
                f"defines no initial_state() and step()"
            )
