"""What all ranks learned from a step, put together."""

from functools import reduce
from operator import add

from audiovq import distributed
from audiovq.bottlenecks._base import Candidates, Statistics


def merge(statistics: Statistics) -> Statistics:
    """Return the statistics of all ranks together, on every rank the same bits.

    One message for the sums and two for each set of candidates, none of which the host waits for.
    """
    if distributed.part()[1] == 1:
        return statistics
    sums = {k: v.clone() for k, v in statistics.sums.items()}
    distributed.all_reduce_sum_(list(sums.values()))
    candidates = {}
    for name, mine in statistics.candidates.items():
        hashes, frames = distributed.gather(mine.hashes), distributed.gather(mine.frames)
        all_of_them = (Candidates(hashes=h, frames=f) for h, f in zip(hashes, frames, strict=True))
        candidates[name] = reduce(add, all_of_them)
    return Statistics(sums=sums, candidates=candidates)
