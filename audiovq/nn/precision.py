"""Where float32 must stay float32."""

from contextlib import AbstractContextManager, nullcontext

import torch


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which autocast is off; a no-op where it is off or the device has none."""
    if not torch.amp.is_autocast_available(device.type) or not torch.is_autocast_enabled(
        device.type
    ):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)
