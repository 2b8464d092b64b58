"""Units made up for the probes, with a known leak."""

import numpy as np

SIZE = 32


def corpus(leak, *, speakers=6, each=12, length=80, seed=0):
    """Uniform units, but for a share that comes from five units of the speaker's own.

    Args:
        leak: share of frames from the speaker's own five units; the others say nothing.
    """
    rng = np.random.default_rng(seed)
    units, names = [], []
    for s in range(speakers):
        own = rng.choice(SIZE, 5, replace=False)
        for _ in range(each):
            row = rng.integers(0, SIZE, length)
            told = rng.random(length) < leak
            row[told] = rng.choice(own, int(told.sum()))
            units.append(row)
            names.append(f"speaker {s}")
    return units, names
