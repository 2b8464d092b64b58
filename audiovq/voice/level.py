"""One level for what is encoded, so that codes need not say how loud a recording is."""

import math
from collections.abc import Iterable

from jaxtyping import Float
from torch import Tensor

from audiovq._audio.levels import Meter

LEVEL_DB = -25.0  # rms of all that is no pause, of full scale; `data.augment.level_db` of vq_voice
_MOST_DB = 40.0  # more would make noise of what is almost silence


def gain(blocks: Iterable[Float[Tensor, "1 1 _"]], sample_rate: int) -> float:
    """Return the factor that brings a recording, in blocks, to the common level; 1 for silence.

    Between -40 and 40 dB.
    """
    meter, heard = Meter(sample_rate), False
    for block in blocks:
        meter.add(block[0].T.cpu().numpy())
        heard = True
    levels = meter.levels() if heard else None
    if levels is None:
        return 1.0
    wanted = LEVEL_DB - levels.level_dbfs
    return math.pow(10.0, max(-_MOST_DB, min(_MOST_DB, wanted)) / 20.0)
