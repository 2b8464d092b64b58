"""Measures of intelligibility and quality by the packages of the extra `metrics`."""

import contextlib
import warnings
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float
from torch import Tensor

from audiovq import audio
from audiovq.eval.undefined import Undefined

Wave = Float[Tensor, "1 1 L"]

PESQ_RATES = {"wb": 16000, "nb": 8000}  # Hz


def stoi(x: Wave, x_hat: Wave, sample_rate: int, *, extended: bool = False) -> float:
    """Return STOI, or ESTOI if `extended`, as pystoi computes it.

    Source: Taal et al. 2011; Jensen & Taal 2016.

    Raises:
        Undefined: too little of it is sound.
    """
    import pystoi  # noqa: PLC0415  (optional)

    a, b = x[0, 0].numpy(), x_hat[0, 0].numpy()
    with warnings.catch_warnings(), _own_draws():
        warnings.simplefilter("error", RuntimeWarning)
        try:
            return float(pystoi.stoi(a, b, sample_rate, extended=extended))
        except RuntimeWarning:  # it would go on to return 1e-5
            raise Undefined("under 0.4 s of sound") from None


def pesq(x: Wave, x_hat: Wave, sample_rate: int, mode: str) -> float:
    """Return PESQ as MOS-LQO: `wb` by P.862.2 at 16 kHz, `nb` by P.862 and P.862.1 at 8 kHz.

    Raises:
        Undefined: no speech is found, the reconstruction is silent, or the rate is too low.
    """
    import pesq as package  # noqa: PLC0415  (optional)

    rate = PESQ_RATES[mode]
    if x_hat.abs().max() < audio.SILENCE:  # the package divides by its level
        raise Undefined("the reconstruction is silent")
    if sample_rate < rate:
        raise Undefined(f"sampled at {sample_rate} Hz, below {rate} Hz")
    reference, degraded = (audio.resample(w, sample_rate, rate)[0, 0].numpy() for w in (x, x_hat))
    try:
        return float(package.pesq(rate, reference, degraded, mode))
    except package.NoUtterancesError:
        raise Undefined("no speech found") from None
    except (package.PesqError, ValueError) as error:
        raise Undefined(f"pesq: {type(error).__name__}") from None


@contextlib.contextmanager
def _own_draws() -> Iterator[None]:
    """Give pystoi, whose ESTOI adds noise of 1e-16, a state of NumPy's generator of its own."""
    before = np.random.get_state()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002
