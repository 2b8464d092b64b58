"""What sound may come as through a pipe; kept from what reads it, as commands need no torch."""

from enum import StrEnum


class PipeFormat(StrEnum):
    """What comes through a pipe."""

    wav = "wav"
    s16le = "s16le"
    f32le = "f32le"
