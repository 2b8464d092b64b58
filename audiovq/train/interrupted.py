"""How training says that it was asked to stop, and with which exit code. Imports no torch."""

import signal

REQUEUE = 75  # EX_TEMPFAIL of sysexits.h
TIME_IS_UP = 1 << 16  # in place of a signal's number: the run's own wall-clock budget
_USR1 = getattr(signal, "SIGUSR1", 0)  # Windows has none


class Interrupted(Exception):  # noqa: N818  (it is a decision of the user, not an error)
    """Training stopped because a signal asked for it; everything is saved.

    Attributes:
        exit_code: 130 for Ctrl-C, 143 for SIGTERM, 75 (try again later) for SIGUSR1, 0 where the
            time that the config gives was up.
    """

    def __init__(self, number: int, step: int) -> None:
        planned = number == TIME_IS_UP
        why = "train.max_hours" if planned else signal.Signals(number).name
        super().__init__(f"stopped by {why} at step {step}; all is saved")
        self.exit_code = 0 if planned else REQUEUE if number == _USR1 else 128 + number
