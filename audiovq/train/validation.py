"""What a run is validated on, and the figures of it that several processes found."""

import math
from collections.abc import Mapping
from functools import reduce
from operator import add

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils import _pytree as pytree

from audiovq import audio, distributed
from audiovq.bottlenecks._base import Bottleneck, Statistics
from audiovq.data.manifest import Manifest
from audiovq.errors import ManifestError
from audiovq.train.levels import Levels


def validation_items(
    manifest: Manifest, sample_rate: int, most: int, seconds: float
) -> list[tuple[str, Float[Tensor, "1 1 L"]]]:
    """Return id and beginning of validation utterances, spread evenly over the split."""
    records = manifest.select("validation")
    if not records:
        raise ManifestError(
            f"{manifest.path} has no records to validate on: prepare the corpus with more "
            f"speakers, or mark some records' split as validation"
        )
    chosen = records[:: max(1, math.ceil(len(records) / most))]
    items = []
    for r in chosen:
        size = min(r.num_samples, round(seconds * r.sample_rate))
        x = audio.load(
            manifest.file(r), sample_rate, start=r.start, num_samples=size, channel=r.channel
        )
        items.append((r.id, x))
    return items


def whole_figures(
    sums: Mapping[str, float],
    statistics: Statistics | None,
    levels: Levels,
    bottleneck: Bottleneck,
) -> dict[str, float]:
    """Return the figures of a validation of which every rank did a part."""
    parts = distributed.gather_objects((dict(sums), _on(statistics, "cpu"), levels))
    total: dict[str, float] = {}
    for part, _, _ in parts:
        for key, value in part.items():
            total[key] = total.get(key, 0.0) + value
    device = next((b.device for b in bottleneck.buffers()), "cpu")
    each = [s for _, s, _ in parts if s is not None]
    merged = _on(reduce(add, each), device) if each else None
    described = bottleneck.describe(merged) if merged is not None else {}
    return {**total, **described, **reduce(add, [part[2] for part in parts]).describe()}


def _on(statistics: Statistics | None, device: torch.device | str) -> Statistics | None:
    moved: Statistics | None = pytree.tree_map_only(Tensor, lambda t: t.to(device), statistics)
    return moved
