"""One recording under every condition."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from audiovq.coding.packed import PackedCodes
from audiovq.data.corruption import fixed_key
from audiovq.errors import AudioError, ConfigError
from audiovq.eval.pool import Scores
from audiovq.eval.stability import unit_edit_distance
from audiovq.stress import channel, conceal
from audiovq.stress.bench import Bench
from audiovq.stress.conditions import CHANCE, CLEAN, Bits, Condition, File, Loss, Sound
from audiovq.stress.inputs import Scene

Wave = Float[Tensor, "1 1 _"]
Codes = npt.NDArray[np.int64]
Row = Mapping[str, float | str]  # figures; or `reason`, why there are none


@dataclass(frozen=True)
class _Heard:
    """What became of a recording under a condition.

    Attributes:
        x_hat: what a listener hears, as long as the original.
        codes: of which it is made; None of a continuous model.
        aligned: whether frames correspond to those of the clean codes.
        x: the changed recording itself, as long as the original; None: unchanged.
        lost: share of frames that are lost or refused; None where nothing can be.
    """

    x_hat: Wave
    codes: Int[Tensor, "K _"] | None
    aligned: bool = True
    x: Wave | None = None
    lost: float | None = None


@dataclass(frozen=True)
class _Waiting:
    """Scores that are being computed."""

    row: dict[str, float]
    to_original: "Future[list[Scores]]"
    to_clean: "Future[list[Scores]] | None"


class Recording:
    """A recording, with what is computed of it once.

    Args:
        bench: model, prior and what scores.
        name: id of the recording.
        scene: the recording.
    """

    def __init__(self, bench: Bench, name: str, scene: Scene) -> None:
        self.bench, self.name, self.scene = bench, name, scene
        self.length = scene.x.shape[-1]
        self.codes = bench.encode(scene.x)
        self.x_hat = self._decoded(self.codes, scene.x)
        self._decodings: dict[bytes, Wave] = {}
        self._coded: dict[int, list[int]] = {}

    def rows(self, conditions: Sequence[Condition]) -> dict[str, Row]:
        """Return the figures under each condition, `clean` and `chance` included.

        Args:
            conditions: those that model and prior allow.
        """
        waiting: dict[str, _Waiting] = {
            CLEAN: _Waiting({}, self.bench.pool.submit(self.scene.x, [self.x_hat]), None)
        }
        found: dict[str, Row] = {}
        expected = self._expected([c for c in conditions if isinstance(c, Loss)])
        for condition in conditions:
            try:
                waiting[condition.name] = self._submit(self._heard(condition, expected))
            except (AudioError, ConfigError) as error:
                found[condition.name] = {"reason": str(error)}
        found |= {name: _finished(each) for name, each in waiting.items()}
        if self.codes is not None:
            turned = self.codes.roll(self.codes.shape[1] // 2, dims=1)
            found[CHANCE] = self._kept(turned, aligned=True)
        return found

    def key(self, what: str) -> int:
        """Return the key of draws of a kind."""
        return fixed_key(f"{self.bench.seed} {self.name} {what}")

    # ------------------------------------------------------------ what happens

    def _heard(self, condition: Condition, expected: Mapping[str, Tensor]) -> _Heard:
        if isinstance(condition, Sound):
            return self._changed(condition)
        assert self.codes is not None
        if condition.name in expected:
            return self._received(expected[condition.name], self._lost(condition))
        if isinstance(condition, Bits):
            sizes = self.bench.model.codebook_sizes
            got = channel.flipped_bits(self.codes, sizes, condition.rate, self.key("bits"))
            codes = conceal.with_last(got.codes, got.lost, self.bench.quiet)
            return self._received(codes, got.lost)
        lost = self._lost(condition)
        repeat = isinstance(condition, Loss) and condition.method == "repeat"
        fill = conceal.with_last if repeat else conceal.with_silence
        return self._received(fill(self.codes, lost, self.bench.quiet), lost)

    def _changed(self, condition: Sound) -> _Heard:
        change = condition.change
        x = change.apply(self.scene)
        codes = self.bench.encode(x)
        x_hat = self._decoded(codes, x)
        x, x_hat = (self._fit(change.undo(y, self.scene)) for y in (x, x_hat))
        return _Heard(x_hat, codes, change.aligned, x)

    def _received(self, codes: Int[Tensor, "K _"], lost: Bool[Tensor, "_"]) -> _Heard:
        key = codes.numpy().tobytes()
        if key not in self._decodings:
            same = self.codes is not None and torch.equal(codes, self.codes)
            self._decodings[key] = self.x_hat if same else self.bench.decode(codes, self.length)
        return _Heard(self._decodings[key], codes, lost=float(lost.float().mean()))

    def _lost(self, condition: Condition) -> Bool[Tensor, "_"]:
        """Return which frames a condition takes."""
        assert self.codes is not None
        frames, model = self.codes.shape[1], self.bench.model
        if isinstance(condition, Loss):
            packet = channel.packet_frames(condition.milliseconds, model.frame_rate)
            key = self.key(f"packets {packet}")
            return channel.lost_frames(frames, packet, condition.rate, condition.pattern, key)
        assert isinstance(condition, File)
        block = max(1, round(condition.seconds * model.frame_rate))
        payloads = self._payloads(block, with_prior=condition.needs_prior)
        return channel.damaged_blocks(frames, block, payloads, condition.rate, self.key("bits"))

    def _payloads(self, block: int, *, with_prior: bool) -> list[int]:
        """Return the bytes of each block of a compressed file of the codes."""
        assert self.codes is not None
        parts = list(self.codes.split(block, dim=1))  # type: ignore[no-untyped-call]
        if not with_prior:
            packed = PackedCodes(self.bench.model.codebook_sizes)
            return [packed.size(part.shape[1]) for part in parts]
        if block not in self._coded:
            self._coded[block] = [len(each) for each in self.bench.coder.encode(parts)]
        return self._coded[block]

    def _expected(self, losses: Sequence[Loss]) -> dict[str, Int[Tensor, "K _"]]:
        """Return the codes of all conditions that a prior conceals, worked out together."""
        each = [c for c in losses if c.needs_prior]
        if not each:
            return {}
        assert self.bench.prior is not None
        assert self.codes is not None
        filled = conceal.by_prior(
            self.bench.prior.module,
            self.codes,
            [self._lost(c) for c in each],
            [self.key(c.name) for c in each],
            [c.method == conceal.DRAWN for c in each],
        )
        return {c.name: codes for c, codes in zip(each, filled, strict=True)}

    # ------------------------------------------------------------------ scores

    def _submit(self, heard: _Heard) -> _Waiting:
        row = {} if heard.codes is None else self._kept(heard.codes, aligned=heard.aligned)
        if heard.lost is not None:
            row["lost"] = heard.lost
        sounds = [heard.x_hat, *([] if heard.x is None else [heard.x])]
        pool = self.bench.pool
        return _Waiting(
            row, pool.submit(self.scene.x, sounds), pool.submit(self.x_hat, [heard.x_hat])
        )

    def _kept(self, codes: Int[Tensor, "K _"], *, aligned: bool) -> dict[str, float]:
        assert self.codes is not None
        row = {"unit_edit": unit_edit_distance(_array(codes), _array(self.codes))}
        if aligned and codes.shape == self.codes.shape:
            same = codes == self.codes
            row |= {
                "kept": float(same.double().mean()),
                "kept_first": float(same[0].double().mean()),
            }
        return row

    def _decoded(self, codes: Int[Tensor, "K _"] | None, x: Wave) -> Wave:
        if codes is None:
            return self.bench.reconstruct(x)
        return self.bench.decode(codes, x.shape[-1])

    def _fit(self, x: Wave) -> Wave:
        return F.pad(x, (0, self.length - x.shape[-1]))


def _finished(waiting: _Waiting) -> dict[str, float]:
    """Return figures and scores; a score that is not defined here is left out."""
    row = dict(waiting.row)
    first, *rest = waiting.to_original.result()
    row |= _numbers(first, "")
    for scores in rest:
        row |= {k: v for k, v in _numbers(scores, "_heard").items() if k == "stoi_heard"}
    if waiting.to_clean is not None:
        row |= _numbers(waiting.to_clean.result()[0], "_to_clean")
    return row


def _numbers(scores: Scores, suffix: str) -> dict[str, float]:
    return {f"{k}{suffix}": v for k, v in scores.items() if not isinstance(v, str)}


def _array(codes: Int[Tensor, "K _"]) -> Codes:
    return np.asarray(codes.numpy(), np.int64)
