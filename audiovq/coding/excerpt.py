"""Sound from codes that lie in blocks: the whole, or a part that equals the whole's bit for bit.

The windows that a decoder is run on depend on the length of the whole alone. A part is made of the
windows that it touches, so that not even rounding can tell it from the whole.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from audiovq import inference, windows
from audiovq.coding.header import Header

if TYPE_CHECKING:
    from audiovq.autoencoder import Autoencoder

Read = Callable[[int, int], Iterator[Tensor]]  # codes (K, frames) of the blocks [first, after)


@torch.no_grad()
def excerpt(
    model: "Autoencoder",
    header: Header,
    read: Read,
    samples: range,
    condition: Int[Tensor, "1"] | None = None,
) -> Iterator[Float[Tensor, "1 1 _"]]:
    """Yield a range of samples in parts, reading the blocks that they depend on.

    Holds a block of codes and a window. The bottleneck's `decode` looks at single frames, as those
    of the package do.
    """
    step = inference.from_codes(model, condition)
    geometry, hop = step.geometry, header.hop_length
    start, stop = samples.start, samples.stop
    device = next(model.parameters()).device
    widths = step.widths(device)
    needed = [
        w
        for w in geometry.plan(header.frames, widths[-1])
        if w.stop * hop > start and w.start * hop < stop
    ]
    size = header.block_frames
    first = needed[0].first // size
    blocks = read(first, -(-needed[-1].end // size))
    held, offset = torch.empty(0), first * size
    for window in needed:
        while offset + held.shape[-1] < window.end:
            block = next(blocks).unsqueeze(0)
            held = torch.cat([held, block], dim=-1) if held.numel() else block
        width = windows.fit(window.frames, widths)
        codes, mask = geometry.cut(held, window, width, offset)
        given = step.process(codes.to(device), None if mask is None else mask.to(device))
        x_hat = geometry.keep(given, window)
        at = window.start * hop
        yield x_hat[..., max(0, start - at) : stop - at]
        drop = max(0, window.stop - geometry.left - offset)
        held, offset = held[..., drop:], offset + drop
