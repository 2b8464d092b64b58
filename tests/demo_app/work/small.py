"""Small models as they are loaded for use: named by their hash in no time."""

from audiovq.nn.conv import fold_weight_norm
from tests.helpers import small_model, voices_model


def folded(bottleneck="vq_ema", *, seed=0):
    """A small untrained model, its weight norm folded in."""
    model = small_model(bottleneck, seed=seed)
    fold_weight_norm(model)
    return model


def voices(*, reference=False):
    """One that knows three speakers, and may hear others."""
    model = voices_model(reference=reference)
    fold_weight_norm(model)
    return model
