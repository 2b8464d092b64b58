"""Scoring in several processes: PESQ, STOI and pitch cost more than the models they judge."""

import multiprocessing
import signal
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from audiovq.errors import AudioVQError, ConfigError
from audiovq.eval.reconstruction import Original, Scorer

Wave = Float[Tensor, "1 1 _"]
Scores = dict[str, float | str]
Samples = npt.NDArray[np.float32]

_scorer: Scorer | None = None  # of this process, where it is one of the workers


class Pool:
    """Scores utterances here, or in other processes; the order of answers is the caller's.

    Args:
        sample_rate: of what is scored (Hz).
        names: measures, of `reconstruction.NAMES`.
        workers: processes; 0 or 1: this one. They are spawned: a script that asks for more must be
            guarded by `if __name__ == "__main__"`.

    Raises:
        ConfigError: `workers` is negative.
    """

    def __init__(self, sample_rate: int, names: Sequence[str], workers: int = 0) -> None:
        if workers < 0:
            raise ConfigError(f"workers={workers}; 0 or more is accepted")
        self.workers = workers
        self._here: Scorer | None = None
        self._there: ProcessPoolExecutor | None = None
        if workers > 1:  # forked processes would inherit torch's threads and locks
            self._there = ProcessPoolExecutor(
                workers, multiprocessing.get_context("spawn"), _start, (sample_rate, tuple(names))
            )
        else:
            self._here = Scorer(sample_rate, names)

    def submit(self, x: Wave, x_hats: Sequence[Wave]) -> "Future[list[Scores]]":
        """Return what will be the scores of each reconstruction of one original."""
        if self._here is not None:
            done: Future[list[Scores]] = Future()
            done.set_result(_score(self._here, x, x_hats))
            return done
        assert self._there is not None
        arrays = [w.reshape(-1).float().cpu().numpy() for w in (x, *x_hats)]
        return self._there.submit(_work, arrays)

    def __enter__(self) -> "Pool":  # noqa: PYI034  (beartype refuses Self here)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._there is not None:
            self._there.shutdown(wait=True, cancel_futures=True)
        if isinstance(error, BrokenProcessPool):
            raise AudioVQError(
                f"a scoring process died, most likely for want of memory: lower --workers (now "
                f"{self.workers})"
            ) from None


def _start(sample_rate: int, names: tuple[str, ...]) -> None:
    """Prepare a worker: one thread each, or they would fight over the cores."""
    global _scorer  # noqa: PLW0603  (what a worker holds between jobs)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one that waits for us
    torch.set_num_threads(1)
    _scorer = Scorer(sample_rate, names)


def _work(arrays: list[Samples]) -> list[Scores]:
    assert _scorer is not None
    x, *x_hats = (torch.from_numpy(a).view(1, 1, -1) for a in arrays)
    return _score(_scorer, x, x_hats)


def _score(scorer: Scorer, x: Wave, x_hats: Sequence[Wave]) -> list[Scores]:
    original = Original(x, scorer.sample_rate)
    return [scorer(original, x_hat) for x_hat in x_hats]
