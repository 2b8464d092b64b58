"""How a codebook is used, and what its codes cost; from counts alone.

Rates are in bits per second. None of them includes the cost of a model or of a file format.
"""

import math

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]


def usage(counts: Counts) -> float:
    """Return the share of codes used at least once, in [0, 1]."""
    return float((counts > 0).mean())


def entropy(counts: Counts) -> float:
    """Return the plug-in entropy of the code distribution, in bits per code."""
    p = counts[counts > 0] / max(1, counts.sum())
    return float(-(p * np.log2(p)).sum()) + 0.0


def perplexity(counts: Counts) -> float:
    """Return 2 to the entropy: how many equally likely codes would be as uncertain."""
    return float(2.0 ** entropy(counts))


def nominal_bitrate(codebook_sizes: tuple[int, ...], frame_rate: float) -> float:
    """Return the bits per second of fixed-length codes: frame_rate * sum of log2 N."""
    return frame_rate * sum(math.log2(n) for n in codebook_sizes)


def unigram_bitrate(counts: list[Counts], frame_rate: float) -> float:
    """Return the bits per second of an ideal code for each row's own distribution.

    The plug-in entropy of the evaluated codes themselves: a lower bound for a coder that does not
    know them beforehand.
    """
    return frame_rate * sum(entropy(c) for c in counts)


def count(codes: npt.NDArray[np.int64], size: int) -> Counts:
    """Return how often each of `size` codes occurs."""
    return np.bincount(codes.ravel(), minlength=size).astype(np.int64)
