"""Leaving in good order: a signal lets the step finish and be saved, and then stops.

Ctrl-C (SIGINT) and SIGTERM are how people and machines end a program; SIGUSR1 is how SLURM
announces that the time is nearly up (`--signal=USR1@90`), and means that the job comes again.
"""

import math
import signal
import threading
import time
from types import FrameType, TracebackType

from audiovq import distributed
from audiovq.train.interrupted import TIME_IS_UP, Interrupted

__all__ = ["TIME_IS_UP", "Clock", "Interrupted", "Stop"]

_USR1 = getattr(signal, "SIGUSR1", 0)  # Windows has none
SIGNALS = tuple(n for n in (signal.SIGINT, signal.SIGTERM, _USR1) if n)


class Clock:
    """The wall-clock budget of a run.

    Args:
        hours: from now; None: no end.
    """

    def __init__(self, hours: float | None) -> None:
        self._end = math.inf if hours is None else time.monotonic() + 3600 * hours

    @property
    def is_up(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() >= self._end


class Stop:
    """While this context is open, SIGINT, SIGTERM and SIGUSR1 only set `requested`.

    A second signal does no more than the first, so a file being written is finished.
    """

    def __init__(self) -> None:
        self.requested: int | None = None
        self._old: dict[int, object] = {}

    def __enter__(self) -> "Stop":  # noqa: PYI034  (beartype cannot resolve Self here)
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                self._old[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        if isinstance(error, RuntimeError) and distributed.part()[1] > 1 and self._old:
            # Another rank is gone, most likely. torchrun ends those that are left with a SIGTERM;
            # this one is about to end anyway, and has yet to say who was missing.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.requested = number
