"""Running a trained autoencoder over items of any length, in batches, windows or streams.

A `Step` is one direction of the model with its geometry: waveform to codes, waveform to embedding,
or embedding to waveform. How it is cut along time changes memory and rounding, never the result.
All of it is without gradients.
"""

import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor
from torch.nn import functional as F

from audiovq import agreement, packing, windows
from audiovq.bottlenecks._base import Condition, Context, DiscreteBottleneck
from audiovq.encoders._base import Encoder
from audiovq.errors import AudioError, ConfigError
from audiovq.nn import lean
from audiovq.nn.precision import without_autocast

if TYPE_CHECKING:
    from audiovq.autoencoder import Autoencoder

# Items of more frames than this are worked through in chunks, so that memory stays bounded.
_WHOLE_FRAMES = 2048
_CHUNK_FRAMES = 512
# Packed items start at multiples of so many samples: matrix products of few columns compute four
# rows at a time, and a row's bits depend on its place among the four.
_ALIGNED = 16
# Samples per call on a GPU when not exact.
_BATCH_SAMPLES = 1 << 22
# Windows per call on a GPU in exact mode.
_EXACT_GPU_BATCH = 8


@dataclass(frozen=True)
class Step:
    """One direction of a model.

    Attributes:
        process: maps columns and the mask of real frames (None: all) to columns.
        geometry: columns per frame on both sides, and frames of context.
        hop_length: samples per frame.
        halves: the same in two halves, where the second looks at single frames; else None.
    """

    process: windows.Process
    geometry: windows.Geometry
    hop_length: int
    halves: "Halves | None" = None

    @property
    def front_geometry(self) -> windows.Geometry:
        """The first half's geometry, which gives one column per frame."""
        return dataclasses.replace(self.geometry, per_frame_out=1)

    def widths(self, device: torch.device) -> tuple[int, ...]:
        """Return the widths of windows on that device, in frames, ascending."""
        return self.geometry.widths(self.hop_length, device.type)


@dataclass(frozen=True)
class Halves:
    """A step cut where its output has one column per frame.

    Attributes:
        front: the part with context along time: waveform to encoder output.
        back: the part of single frames: encoder output to codes or embedding.
        spacing: what keeps two items apart in the front.
        encoder: which the front runs.
    """

    front: windows.Process
    back: windows.Process
    spacing: packing.Spacing
    encoder: Encoder


def to_codes(model: "Autoencoder") -> Step:
    """Return the step from waveform (B, 1, L) to codes (B, K, T)."""
    bottleneck = model.bottleneck
    assert isinstance(bottleneck, DiscreteBottleneck)

    @torch.no_grad()
    def process(x: Tensor, mask: Tensor | None) -> Tensor:
        z_e, context = _encode(model, x, mask)
        return bottleneck.encode(z_e, context)

    @torch.no_grad()
    def back(z_e: Tensor, mask: Tensor | None) -> Tensor:
        return bottleneck.encode(z_e, Context(mask=mask))

    return Step(process, _encoder_geometry(model, 1), model.hop_length, _halves(model, back))


def to_embedding(model: "Autoencoder") -> Step:
    """Return the step from waveform (B, 1, L) to what the decoder would receive (B, D, T)."""

    @torch.no_grad()
    def back(z_e: Tensor, mask: Tensor | None) -> Tensor:
        z = model.bottleneck.embed(z_e, Context(mask=mask))
        return z if mask is None else z * mask

    @torch.no_grad()
    def process(x: Tensor, mask: Tensor | None) -> Tensor:
        z_e, context = _encode(model, x, mask)
        return back(z_e, context.mask)

    geometry = _encoder_geometry(model, model.bottleneck.stride)
    return Step(process, geometry, model.hop_length, _halves(model, back))


def to_waveform(model: "Autoencoder", condition: Condition | None = None) -> Step:
    """Return the step from embedding (B, D, T) to waveform (B, 1, L)."""
    stride = model.bottleneck.stride
    left, right = (-(-n // stride) for n in model.decoder.receptive_field)

    @torch.no_grad()
    def process(z: Tensor, mask: Tensor | None) -> Tensor:
        context = Context(mask=_expand(mask, stride), condition=condition)
        with without_autocast(z.device):
            return model.decoder(z, context)  # type: ignore[no-any-return]

    geometry = windows.Geometry(left, right, stride, model.hop_length)
    return Step(process, geometry, model.hop_length)


def from_codes(model: "Autoencoder", condition: Condition | None = None) -> Step:
    """Return the step from codes (B, K, T) to waveform (B, 1, L)."""
    bottleneck, back = model.bottleneck, to_waveform(model, condition)
    assert isinstance(bottleneck, DiscreteBottleneck)

    @torch.no_grad()
    def process(codes: Tensor, mask: Tensor | None) -> Tensor:
        return back.process(bottleneck.decode(codes), mask)

    geometry = dataclasses.replace(back.geometry, per_frame_in=1)
    return Step(process, geometry, model.hop_length)


def run(
    step: Step,
    x: Float[Tensor, "B 1 L"],
    lengths: Int[Tensor, "B"] | None,
    *,
    exact: bool,
    chunk_frames: int | None,
) -> Shaped[Tensor, "B C T"]:
    """Run a step on a padded batch of waveforms; zero past each item's end.

    Raises:
        AudioError: x is not finite or not of shape (B, 1, L), or lengths do not fit.
    """
    each = _check(x, lengths)
    hop = step.geometry.per_frame_in
    frames = [-(-n // hop) for n in each]
    T = -(-x.shape[-1] // hop)
    if not exact:
        padded = F.pad(x, (0, T * hop - x.shape[-1]))
        return _run_masked(step, padded, frames, chunk_frames)
    parts = _run_exact(step, [(x[i : i + 1, :, : each[i]], n) for i, n in enumerate(frames)])
    size = T * step.geometry.per_frame_out
    return torch.cat([F.pad(p, (0, size - p.shape[-1])) for p in parts])


def run_many(
    step: Step, items: Sequence[Float[Tensor, "1 1 _"]], *, exact: bool
) -> list[Shaped[Tensor, "1 C _"]]:
    """Run a step on waveforms of any lengths; on a CPU the exact way is the fastest as well.

    Raises:
        AudioError: one is not finite or not of shape (1, 1, L).
    """
    hop = step.geometry.per_frame_in
    frames = [-(-_check(x, None)[0] // hop) for x in items]
    if not items:
        return []
    if exact or items[0].device.type == "cpu":
        return _run_exact(step, list(zip(items, frames, strict=True)))
    return _run_batches(step, items, frames)


def run_back(
    step: Step, z: Float[Tensor, "B D T"], lengths: Sequence[int]
) -> Float[Tensor, "B 1 L"]:
    """Run a decoding step; as long as the longest item, zero past each item's end."""
    hop = step.geometry.per_frame_out
    x_hat = _run_masked(step, z, [-(-n // hop) for n in lengths], None)[..., : max(lengths)]
    past = torch.arange(x_hat.shape[-1], device=z.device)
    ends = torch.tensor(lengths, device=z.device).view(-1, 1, 1)
    return x_hat.masked_fill(past >= ends, 0.0)


def stream(
    step: Step, blocks: Iterable[Float[Tensor, "1 1 _"]]
) -> Iterator[Shaped[Tensor, "1 C _"]]:
    """Run a step on one item that arrives in blocks; holds a window and its context."""
    first = next(iter(blocks := iter(blocks)), None)
    if first is None:
        return
    whole = map(finite, chain([first], blocks))
    widths = step.widths(first.device)
    if first.device.type != "cpu" or step.halves is None:
        yield from windows.stream(whole, step.process, step.geometry, widths)
        return
    found = _agreement(step, step.halves, first)
    parts = windows.stream(whole, step.halves.front, step.front_geometry, found.widths)
    for z_e in parts:
        yield _run_back_half(step.halves, [z_e], widths[-1])[0]


def stream_through(
    there: Step, back: Step, blocks: Iterable[Float[Tensor, "1 1 _"]]
) -> Iterator[Float[Tensor, "1 1 _"]]:
    """Run two steps one behind the other; gives exactly as many samples as arrived."""
    received = given = 0

    def counted() -> Iterator[Tensor]:
        nonlocal received
        for block in blocks:
            received += block.shape[-1]
            yield block

    widths = back.geometry.widths(back.hop_length)
    for x_hat in windows.stream(stream(there, counted()), back.process, back.geometry, widths):
        part = x_hat[..., : received - given]  # only the last frame can be cut
        given += part.shape[-1]
        yield part


def whole(codes: Tensor) -> Int[Tensor, "*_"]:
    """Return codes as int64, after refusing what are no whole numbers.

    Raises:
        ConfigError: they are floats, complex numbers or truth values.
    """
    if codes.is_floating_point() or codes.is_complex() or codes.dtype == torch.bool:
        raise ConfigError(f"codes of {codes.dtype} given; int64 is accepted")
    return codes.long()


def check_codes(codes: Int[Tensor, "B K T"], codebook_sizes: tuple[int, ...]) -> None:
    """Refuse codes with too many rows or values out of range."""
    rows = codes.shape[1]
    if not 1 <= rows <= len(codebook_sizes) or codes.shape[-1] == 0 or len(codes) == 0:
        raise ConfigError(
            f"codes of shape {tuple(codes.shape)} given; (B, K, T) with K from 1 to "
            f"{len(codebook_sizes)} is accepted"
        )
    least, most = int(codes.min()), codes.amax(dim=(0, 2)).tolist()
    if least < 0 or any(n >= N for n, N in zip(most, codebook_sizes[:rows], strict=True)):
        raise ConfigError(f"codes must lie in [0, N) with N = {codebook_sizes[:rows]}")


def fit_lengths(
    length: int | Sequence[int] | Int[Tensor, "B"] | None, items: int, frames: int, hop: int
) -> list[int]:
    """Return the samples of each item to decode, refusing what does not fit the frames."""
    most = frames * hop
    if isinstance(length, int) or length is None:
        each = [most if length is None else length] * items
    else:
        each = [int(n) for n in length]
    if len(each) != items or not most - hop < max(each, default=0) <= most or min(each) < 1:
        raise ConfigError(
            f"length {length} does not fit {items} item(s) of {frames} frames: give an int or one "
            f"per item, the longest in ({most - hop}, {most}] samples"
        )
    return each


def _encode(model: "Autoencoder", x: Tensor, mask: Tensor | None) -> tuple[Tensor, Context]:
    context = Context(mask=_expand(mask, model.bottleneck.stride))
    real = None if context.mask is None else context.mask.to(x.dtype)
    with without_autocast(x.device):
        return model.encoder(x, real), context


def _expand(mask: Tensor | None, factor: int) -> Tensor | None:
    return None if mask is None else mask.repeat_interleave(factor, dim=-1)


def _encoder_geometry(model: "Autoencoder", per_frame_out: int) -> windows.Geometry:
    hop = model.hop_length
    left, right = (-(-n // hop) for n in model.receptive_field)
    return windows.Geometry(left, right, hop, per_frame_out)


def _halves(model: "Autoencoder", back: windows.Process) -> Halves | None:
    """Return the halves of a step that ends with the bottleneck; None if that looks further."""
    if model.bottleneck.stride != 1 or model.bottleneck.context != (0, 0):
        return None

    step = _ALIGNED // math.gcd(_ALIGNED, model.hop_length)

    @torch.no_grad()
    def front(x: Tensor, mask: Tensor | None) -> Tensor:
        return _encode(model, x, mask)[0]

    return Halves(front, back, packing.Spacing(model.encoder.gap, step), model.encoder)


def _run_exact(
    step: Step, items: list[tuple[Float[Tensor, "1 1 _"], int]]
) -> list[Shaped[Tensor, "1 C _"]]:
    """Run a step on items (and their frames) so that company changes no bit."""
    device = items[0][0].device
    if device.type != "cpu":
        return windows.run_grouped(
            items, step.process, step.geometry, step.widths(device), _EXACT_GPU_BATCH
        )
    with lean.weights_kept():
        if step.halves is None:
            widths = step.widths(device)
            return [windows.run(x, n, step.process, step.geometry, widths) for x, n in items]
        z_e = _run_front(step, step.halves, items)
        return _run_back_half(step.halves, z_e, step.widths(device)[-1])


def _agreement(step: Step, halves: Halves, like: Tensor) -> agreement.Agreement:
    with torch.no_grad(), lean.weights_kept():
        return agreement.of(
            halves.encoder, halves.front, step.widths(like.device), halves.spacing, like.dtype
        )


def _run_front(
    step: Step, halves: Halves, items: list[tuple[Float[Tensor, "1 1 _"], int]]
) -> list[Float[Tensor, "1 C _"]]:
    """Return encoder output, items side by side where that changes no bit."""
    found = _agreement(step, halves, items[0][0])
    front, g, widths = halves.front, step.front_geometry, found.widths
    if found.packs and len(items) > 1:
        return packing.run(items, front, g, widths, halves.spacing)
    return [windows.run(x, n, front, g, widths) for x, n in items]


def _run_back_half(
    halves: Halves, z_e: Sequence[Float[Tensor, "1 C _"]], size: int
) -> list[Shaped[Tensor, "1 C_out _"]]:
    """Run the half of single frames on blocks of `size` frames, always that many."""
    joined = torch.cat(list(z_e), dim=-1)
    parts = []
    for block in torch.split(joined, size, dim=-1):
        mask = (torch.arange(size) < block.shape[-1]).view(1, 1, -1)
        y = halves.back(F.pad(block, (0, size - block.shape[-1])), mask)
        parts.append(y[..., : block.shape[-1]])
    return list(torch.split(torch.cat(parts, dim=-1), [z.shape[-1] for z in z_e], dim=-1))


def _run_batches(
    step: Step, items: Sequence[Float[Tensor, "1 1 _"]], frames: Sequence[int]
) -> list[Shaped[Tensor, "1 C _"]]:
    """Run a step in padded batches of about equal lengths and of bounded size."""
    hop, order = step.geometry.per_frame_in, sorted(range(len(items)), key=lambda i: frames[i])
    parts: dict[int, Tensor] = {}
    while order:
        size = max(1, _BATCH_SAMPLES // (frames[order[-1]] * hop))
        order, batch = order[:-size], order[-size:]
        longest = frames[batch[-1]]
        x = torch.cat([F.pad(items[i], (0, longest * hop - items[i].shape[-1])) for i in batch])
        y = _run_masked(step, x, [frames[i] for i in batch], None)
        for row, i in enumerate(batch):
            parts[i] = y[row : row + 1, :, : frames[i] * step.geometry.per_frame_out]
    return [parts[i] for i in range(len(items))]


def _run_masked(
    step: Step, x: Shaped[Tensor, "B C L"], frames: Sequence[int], chunk_frames: int | None
) -> Shaped[Tensor, "B C_out L_out"]:
    """Run a step on a whole padded batch, or chunk by chunk along time when it is long."""
    T = x.shape[-1] // step.geometry.per_frame_in
    ends = torch.tensor(frames, device=x.device).view(-1, 1, 1)
    mask = torch.arange(T, device=x.device) < ends
    size = _CHUNK_FRAMES if x.device.type != "cpu" else step.widths(x.device)[-1]
    with lean.weights_kept():
        if chunk_frames is None and min(_WHOLE_FRAMES, 4 * size) >= T:
            return step.process(x, None if min(frames) == T else mask)
        return _run_chunked(step, x, mask, chunk_frames or size)


def _run_chunked(
    step: Step, x: Shaped[Tensor, "B C L"], mask: Bool[Tensor, "B 1 T"], size: int
) -> Shaped[Tensor, "B C_out L_out"]:
    g, T = step.geometry, mask.shape[-1]
    parts = []
    for start in range(0, T, size):
        end = min(start + size, T)
        lo, hi = max(0, start - g.left), min(T, end + g.right)
        y = step.process(x[..., lo * g.per_frame_in : hi * g.per_frame_in], mask[..., lo:hi])
        parts.append(y[..., (start - lo) * g.per_frame_out : (end - lo) * g.per_frame_out])
    return torch.cat(parts, dim=-1)


def _check(x: Tensor, lengths: Tensor | None) -> list[int]:
    """Return the length of each item, after refusing a waveform no model could take."""
    if x.ndim != 3 or x.shape[1] != 1 or x.numel() == 0:
        raise AudioError(
            f"a waveform of shape {tuple(x.shape)} given; (B, 1, L) with L > 0 is accepted"
        )
    finite(x)
    each = [x.shape[-1]] * len(x) if lengths is None else lengths.tolist()
    if len(each) != len(x) or min(each) < 1 or max(each) > x.shape[-1]:
        raise AudioError(f"lengths must be {len(x)} values from 1 to {x.shape[-1]} (samples)")
    return each


def finite(x: Tensor) -> Tensor:
    """Return a waveform, after refusing NaN and infinity.

    Raises:
        AudioError: there are some.
    """
    # Where any is not finite the sum is not; it is also not where a sum of large ones overflows.
    if not math.isfinite(x.sum()) and not bool(torch.isfinite(x).all()):
        raise AudioError("the waveform holds NaN or infinity; repair it before encoding")
    return x
