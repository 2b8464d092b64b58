"""The conditions every score is taken under, pinned and recorded beside the figures."""

from importlib import metadata
from typing import Any

import soundfile

from audiovq.eval import pitch

_PACKAGES = ("audiovq", "torch", "numpy", "soxr", "soundfile", "pystoi", "pesq", "librosa",
             "transformers")  # fmt: skip


def describe() -> dict[str, Any]:
    """Return resampler, rates, alignment, levels and versions as plain values."""
    low, high = pitch.RANGE
    return {
        "resampler": f"soxr {_version('soxr')} HQ",
        "pesq_wb": "P.862.2 at 16000 Hz",
        "pesq_nb": "P.862 with P.862.1 at 8000 Hz",
        "alignment": "none",
        "level": "untouched",
        "clipping": "counted, not applied; players and files clip at full scale",
        "f0": f"librosa pYIN and YIN, {low:g} to {high:g} Hz, "
        f"{1000 * pitch.WINDOW_SECONDS:g} ms windows every {1000 * pitch.STEP_SECONDS:g} ms",
        "versions": {
            **{name: _version(name) for name in _PACKAGES},
            "libsndfile": soundfile.__libsndfile_version__,
        },
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
