"""The one importer of torchaudio.

torchaudio 2.11 compares CUDA versions when it is imported and refuses a torch of another build,
also a CPU one (OSError for a missing libcudart, RuntimeError for another version), although the
part written in Python needs neither. Then a stand-in takes the place of its compiled extension:
filter banks, transforms and resampling work; forced_align and rnnt_loss do not exist.
"""

import sys
from types import ModuleType


def _import() -> tuple[ModuleType, str]:
    """Return torchaudio, and why its compiled part was refused ("" if it was not)."""
    refused = ""
    try:
        import torchaudio  # noqa: PLC0415
    except (OSError, RuntimeError) as error:
        refused = f"{type(error).__name__}: {error.__cause__ or error}"
        for name in [n for n in sys.modules if n.partition(".")[0] == "torchaudio"]:
            del sys.modules[name]
        stand_in = ModuleType("torchaudio._extension")
        stand_in.fail_if_no_align = lambda function: function  # type: ignore[attr-defined]
        stand_in._IS_TORCHAUDIO_EXT_AVAILABLE = False  # type: ignore[attr-defined]  # noqa: SLF001
        stand_in._IS_ALIGN_AVAILABLE = False  # type: ignore[attr-defined]  # noqa: SLF001
        stand_in._IS_RNNT_AVAILABLE = False  # type: ignore[attr-defined]  # noqa: SLF001
        sys.modules["torchaudio._extension"] = stand_in
        import torchaudio  # noqa: PLC0415
    return torchaudio, refused


torchaudio, refused = _import()
