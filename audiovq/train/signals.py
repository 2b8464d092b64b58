"""Leaving in good order: Ctrl-C and SIGTERM let the step finish, save, and then stop."""

import signal
import threading
from types import FrameType, TracebackType


class Interrupted(Exception):  # noqa: N818  (it is a decision of the user, not an error)
    """Training stopped because a signal asked for it; everything is saved.

    Attributes:
        exit_code: 128 plus the signal's number: 130 for Ctrl-C, 143 for SIGTERM.
    """

    def __init__(self, number: int, step: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name} at step {step}; all is saved")
        self.exit_code = 128 + number


class Stop:
    """While this context is open, SIGINT and SIGTERM only set `requested`.

    A second signal does no more than the first, so a file being written is finished.
    """

    def __init__(self) -> None:
        self.requested: int | None = None
        self._old: dict[int, object] = {}

    def __enter__(self) -> "Stop":  # noqa: PYI034  (beartype cannot resolve Self here)
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
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

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.requested = number
