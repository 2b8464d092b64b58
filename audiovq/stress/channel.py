"""What may happen to codes on their way: packets are lost, bits are flipped, files are damaged.

Draws are a function of a key. What is lost at a low rate is lost at a higher one, too (of random
losses and of bits), so that rates differ by what is added.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from audiovq.nn import random

PATTERNS = ("random", "bursty")
BURST = 3.0  # packets lost one after the other, on average, where losses are bursty


def packet_frames(milliseconds: int, frame_rate: float) -> int:
    """Return the frames in packets of about that many milliseconds, at least one."""
    return max(1, round(milliseconds / 1000 * frame_rate))


def lost_frames(
    frames: int, packet: int, rate: float, pattern: str, key: int
) -> Bool[Tensor, "{frames}"]:
    """Return which frames are lost with their packets.

    Bursty losses follow a Markov chain of two states in one of which every packet is lost, left
    with probability 1 / 3 after each packet; it begins as in the long run. Source: Gilbert 1960
    ("Capacity of a burst-noise channel"), Elliott 1963; named as in Hasslinger & Hohlfeld 2008
    ("The Gilbert-Elliott model for packet loss in real time services on the Internet"): r = 1 / 3,
    h = 0, k = 1.

    Args:
        frames: of the codes.
        packet: frames of each packet.
        rate: share of packets that are lost in the long run, below 1.
        pattern: of `PATTERNS`.
        key: of recording and packet size.
    """
    packets = -(-frames // packet)
    u = random.uniform(torch.tensor([key]), f"stress.{pattern}", packets)[0]
    lost = u < rate if pattern == "random" else _gilbert(u, rate)
    return lost.repeat_interleave(packet)[:frames]


def _gilbert(u: Tensor, rate: float) -> Bool[Tensor, "_"]:
    leave = 1.0 / BURST
    enter = leave * rate / (1.0 - rate)
    found: list[bool] = []
    for each in u.tolist():
        if not found:
            found.append(each < rate)
        else:
            found.append(each >= leave if found[-1] else each < enter)
    return torch.tensor(found)


@dataclass(frozen=True)
class Received:
    """Codes as they arrive.

    Attributes:
        codes: (K, T); anything where they are lost.
        lost: frames of which the receiver knows that they are.
    """

    codes: Int[Tensor, "K T"]
    lost: Bool[Tensor, "T"]


def flipped_bits(
    codes: Int[Tensor, "K T"], sizes: Sequence[int], rate: float, key: int
) -> Received:
    """Return codes sent with ceil(log2 N) bits each, every bit flipped with a probability.

    A frame with a code that the codebook does not have is known to be damaged, and lost.
    """
    widths = [(n - 1).bit_length() for n in sizes]
    frames = codes.shape[1]
    flips = _flips(sum(widths) * frames, rate, key).view(sum(widths), frames)
    rows, at = [], 0
    for row, width in zip(codes, widths, strict=True):
        value = 1 << torch.arange(width).view(-1, 1)
        rows.append(row ^ (flips[at : at + width] * value).sum(dim=0))
        at += width
    found = torch.stack(rows)
    return Received(found, (found >= torch.tensor(list(sizes)).view(-1, 1)).any(dim=0))


def damaged_blocks(
    frames: int, block: int, payloads: Sequence[int], rate: float, key: int
) -> Bool[Tensor, "{frames}"]:
    """Return which frames are lost with the blocks of a compressed file that flipped bits reach.

    A block whose payload has changed differs from its checksum and is refused whole. Header and
    index are taken to arrive: they are repeated, or protected, where a file is sent in pieces.

    Args:
        frames: of the codes.
        block: frames of each block.
        payloads: bytes of each block's payload.
        rate: probability that a bit is flipped.
        key: of the recording.
    """
    flips = _flips(8 * sum(payloads), rate, key)
    hit = [bool(part.any()) for part in torch.split(flips, [8 * n for n in payloads])]
    return torch.tensor(hit).repeat_interleave(block)[:frames]


def _flips(bits: int, rate: float, key: int) -> Bool[Tensor, "_"]:
    return random.uniform(torch.tensor([key]), "stress.bits", bits)[0] < rate
