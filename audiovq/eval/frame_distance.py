"""Distances between frames: of unit ids or of vectors, as integers.

    identity   0 for the same id, else 1
    euclidean  |u - v|
    angular    acos(u . v / |u| |v|) / pi, in [0, 1]; a zero vector is at 1/2 from any other vector

Distances are rounded to multiples of a grid, a power of two at most 2^-31 of the largest distance,
so that sums of them are exact: paths that cost the same are seen to. Equal vectors are at 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Float64, Int64

from audiovq.errors import ConfigError, NonFiniteError

NAMES = ("identity", "euclidean", "angular")
RESOLUTION = 32  # bits of a distance
Ints = npt.NDArray[np.int64]
TABLE = 2048  # distances between at most this many different vectors are computed once: 32 MiB


@dataclass(frozen=True)
class FrameDistance:
    """A distance between numbered frames.

    Attributes:
        grid: what 1 stands for.
        table: all distances; None where they are computed when they are needed.
        vectors: of each frame, as `_prepare` leaves them; None for ids.
        name: one of NAMES.
    """

    grid: float
    name: str
    table: Int64[np.ndarray, "U U"] | None = None
    vectors: Float64[np.ndarray, "U D"] | None = None

    def pairwise(
        self, a: Int64[np.ndarray, "M P"], b: Int64[np.ndarray, "N P"]
    ) -> Int64[np.ndarray, "M N P"]:
        """Return the distances in grid units between all frames of each pair of sequences."""
        if self.vectors is None:
            unlike: Ints = (a[:, None] != b).astype(np.int64)
            return unlike
        if self.table is not None:
            known: Ints = self.table.ravel().take(a[:, None] * len(self.table) + b)
            return known
        u, v = self.vectors[a.T], self.vectors[b.T]  # (P, M, D), (P, N, D)
        far = np.ascontiguousarray(np.moveaxis(_distances(u, v, self.name), 0, -1))
        far[a[:, None] == b] = 0
        return np.rint(far / self.grid).astype(np.int64)


def number_frames(
    frames: Sequence[npt.NDArray[np.generic]], vectors: npt.NDArray[np.floating] | None = None
) -> tuple[Int64[np.ndarray, " F"], Float64[np.ndarray, "U D"] | None]:
    """Give equal frames equal numbers.

    Args:
        frames: of each utterance, ids (T,) or vectors (T, D).
        vectors: what each id stands for (N, D), if ids are to be compared by that.

    Returns:
        the number of every frame, utterances one after another; and the vector of each number,
        None for ids without vectors.

    Raises:
        ConfigError: ids and vectors do not go together.
        NonFiniteError: a vector has NaN or infinity.
    """
    joined = np.concatenate(frames)
    if joined.ndim == 1 and vectors is None:
        return joined.astype(np.int64), None
    if joined.ndim == 1 and vectors is not None:
        if joined.size and (joined.min() < 0 or joined.max() >= len(vectors)):
            raise ConfigError(
                f"ids reach from {joined.min()} to {joined.max()} but there are vectors for 0 to "
                f"{len(vectors) - 1}; give the vectors of the model that made the ids"
            )
        different, number = _distinct(vectors)
        return number[joined.astype(np.int64)], different
    if vectors is not None:
        raise ConfigError("frames are vectors already; give `vectors` only with ids")
    different, number = _distinct(joined)
    return number, different


def frame_distance(name: str, vectors: Float64[np.ndarray, "U D"] | None) -> FrameDistance:
    """Return the distance of that name between numbered frames.

    Raises:
        ConfigError: there is no such distance, or it needs vectors and there are none.
    """
    if name not in NAMES:
        raise ConfigError(f"distance is {name!r}; accepted: {', '.join(NAMES)}")
    if name == "identity":
        return FrameDistance(1.0, name)
    if vectors is None:
        raise ConfigError(
            f"the {name} distance needs vectors; give each code's as `vectors`, or use identity"
        )
    prepared = _prepare(vectors, name)
    largest = 1.0 if name == "angular" else 2 * float(np.linalg.norm(prepared, axis=1).max())
    # the least power of two not below, over the resolution; 1 more bit is for rounding up
    grid = 2.0 ** (np.ceil(np.log2(largest or 1.0)) - RESOLUTION + 1)
    distance = FrameDistance(float(grid), name, None, prepared)
    if len(vectors) > TABLE:
        return distance
    every = np.arange(len(vectors))[:, None]
    return FrameDistance(float(grid), name, distance.pairwise(every, every)[..., 0], prepared)


def _distinct(
    vectors: npt.NDArray[np.generic],
) -> tuple[Float64[np.ndarray, "U D"], Int64[np.ndarray, " F"]]:
    values = vectors.astype(np.float64) + 0.0  # -0 is 0
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
        raise NonFiniteError(f"vector {row} of {len(values)} has NaN or infinity")
    different, number = np.unique(values, axis=0, return_inverse=True)
    return different, number.reshape(-1)


def _prepare(vectors: Float64[np.ndarray, "U D"], name: str) -> Float64[np.ndarray, "U D"]:
    """Return unit vectors for angles; for distances, vectors around 0, where rounding is least."""
    if name == "euclidean":
        middle: npt.NDArray[np.float64] = vectors.mean(axis=0)
        return vectors - middle
    norm: npt.NDArray[np.float64] = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(norm > 0, norm, 1)


def _distances(
    u: Float64[np.ndarray, "P M D"], v: Float64[np.ndarray, "P N D"], name: str
) -> Float64[np.ndarray, "P M N"]:
    dots = u @ v.swapaxes(1, 2)
    if name == "angular":
        angle: npt.NDArray[np.float64] = np.arccos(np.clip(dots, -1, 1)) / np.pi
        return angle
    squares = np.square(u).sum(-1)[:, :, None] + np.square(v).sum(-1)[:, None, :]
    root: npt.NDArray[np.float64] = np.sqrt(np.maximum(squares - 2 * dots, 0))
    return root
