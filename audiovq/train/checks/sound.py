"""Signs in the reconstructions themselves: silence, clipping, noise that stays."""

from audiovq.train.checks._base import (
    Check,
    Finding,
    History,
    Severity,
    above,
    below,
    judge,
    worst,
)

# Level of all reconstructions relative to the originals (dB). Healthy runs here are at -10 dB after
# 200 to 600 steps: a mean absolute error of samples whose phase is not known asks for quiet ones.
QUIET, SILENT = -20.0, -30.0
LOUD, TOO_LOUD = 6.0, 20.0
# Share of samples at full scale or beyond: one in a thousand is heard as crackle; the peaks of
# speech make far fewer.
CLIPPED, BADLY_CLIPPED = 0.001, 0.01


def level(history: History) -> Finding | None:
    """Find reconstructions that are silent, or far too loud."""
    series = history.series("validation/level_db")
    if not series:
        return None
    value = series.values[-1]
    return judge(
        history.lenient(worst(below(value, QUIET, SILENT), above(value, LOUD, TOO_LOUD))),
        (series.steps[-1], series.steps[-1]),
        f"level {value:+.1f} dB relative to the originals",
        good="reconstructions are neither silent nor too loud",
        bad=f"reconstructions are {'nearly silent' if value < 0 else 'far too loud'}",
        advice="loss.mel and loss.stft ask for the level: look at their weights, and listen to "
        "the manifest's recordings; if it came suddenly, lower optim.lr",
    )


def clipping(history: History) -> Finding | None:
    """Find reconstructions beyond full scale."""
    series = history.series("validation/clipped")
    if not series:
        return None
    return judge(
        history.lenient(above(series.values[-1], CLIPPED, BADLY_CLIPPED)),
        (series.steps[-1], series.steps[-1]),
        f"{series.values[-1]:.2%} of the samples at full scale or beyond",
        good="reconstructions do not clip",
        bad="reconstructions clip",
        advice="lower optim.lr; look whether the recordings clip",
    )


def denoising(history: History) -> Finding | None:
    """Find a denoising model whose output is no better than its noisy input."""
    before = history.series("validation/noisy/si_sdr_in")
    after = history.series("validation/noisy/si_sdr_out")
    if not before or not after:
        return None
    gains = after.values[-1] > before.values[-1]
    return judge(
        Severity.ok if gains else history.lenient(Severity.warning),
        (after.steps[-1], after.steps[-1]),
        f"SI-SDR {before.values[-1]:.1f} dB with the noise, {after.values[-1]:.1f} dB after",
        good="denoising gains",
        bad="denoising does not gain",
        advice="train longer or corrupt less; SI-SDR needs the phase, which loss.mel does not ask "
        "for: raise loss.waveform_l1",
    )


CHECKS: tuple[Check, ...] = (level, clipping, denoising)
