"""Small files that claim, or become, far too much; made here, of silence."""

import functools
import io
import struct

import numpy as np
import soundfile

SECONDS = 3600


def wav_header(
    rate: int = 16_000, channels: int = 1, stated: int = 32, present: int = 32, tag: int = 1
) -> bytes:
    """Return a 16-bit WAV whose header may say anything."""
    frame = 2 * channels
    layout = struct.pack("<HHIIHH", tag, channels, rate, rate * frame & 0xFFFFFFFF, frame, 16)
    head = b"RIFF" + struct.pack("<I", 36 + stated & 0xFFFFFFFF) + b"WAVEfmt "
    return (
        head + struct.pack("<I", 16) + layout + b"data" + struct.pack("<I", stated) + bytes(present)
    )


def silence(kind: str, subtype: str, rate: int, channels: int, seconds: float) -> bytes:
    """Return silence, encoded a minute at a time."""
    buffer = io.BytesIO()
    left = int(seconds * rate)
    with soundfile.SoundFile(buffer, "w", rate, channels, subtype, format=kind) as file:
        block = np.zeros((min(left, 60 * rate), channels), np.float32)
        while left > 0:
            file.write(block[:left])
            left -= len(block)
    return buffer.getvalue()


def flac_of_unknown_length(data: bytes) -> bytes:
    """Return a FLAC file whose header no longer says how many samples there are."""
    packed = struct.unpack_from(">Q", data, 18)[0] >> 36 << 36
    return data[:18] + struct.pack(">Q", packed) + data[26:]


def flac_that_lies(data: bytes, samples: int = 16_000) -> bytes:
    """Return a FLAC file whose header says fewer samples than there are."""
    packed = struct.unpack_from(">Q", data, 18)[0] >> 36 << 36 | samples
    return data[:18] + struct.pack(">Q", packed) + data[26:]


def ogg_that_lies(data: bytes, samples: int = 16_000) -> bytes:
    """Return an Ogg file whose last page claims to be early."""
    last = data.rfind(b"OggS")
    return data[: last + 6] + struct.pack("<q", samples) + data[last + 14 :]


def leaves_open(name: str) -> bool:
    """Whether a bomb's header says nothing, or a lie, so that only decoding shows it."""
    return "a lie" in name or "not stated" in name or name.startswith("MP3")


@functools.cache
def cheap() -> dict[str, bytes]:
    """Return those that cost next to nothing to make."""
    opus = silence("OGG", "OPUS", 48_000, 1, 90)
    flac = silence("FLAC", "PCM_16", 8_000, 8, 90)
    return {
        "WAV, 1024 channels": wav_header(channels=1024, stated=2048 * 16, present=2048 * 16),
        "WAV, 2 GHz": wav_header(rate=2_000_000_000),
        "WAV, header of 2 GB": wav_header(stated=0x7FFFEFFE),
        "WAV, 10 h stated": wav_header(stated=36_000 * 32_000),
        "WAV, compressed": wav_header(tag=2),
        "WAV, no channels": wav_header(channels=0),
        "FLAC, 90 s of 8 channels": flac,
        "FLAC, length not stated": flac_of_unknown_length(flac),
        "FLAC, a lie about the length": flac_that_lies(flac),
        "Opus, 90 s": opus,
        "Opus, a lie about the length": ogg_that_lies(opus),
        "MP3, 90 s": silence("MP3", "MPEG_LAYER_III", 16_000, 1, 90),
        "zip": b"PK\x03\x04" + bytes(100),
        "HTML": b"<html><script>alert(1)</script></html>",
        "empty": b"",
    }


def large() -> dict[str, bytes]:
    """Return those of the reference, which take a while to make (a minute in all)."""
    flac = silence("FLAC", "PCM_16", 48_000, 8, SECONDS)
    opus = silence("OGG", "OPUS", 48_000, 1, SECONDS)
    return {
        "FLAC, 1 h of 8 channels at 48 kHz": flac,
        "the same, length not stated": flac_of_unknown_length(flac),
        "the same, a lie about the length": flac_that_lies(flac),
        "Opus, 1 h": opus,
        "the same, a lie about its length": ogg_that_lies(opus),
        "FLAC, 10 h": silence("FLAC", "PCM_16", 8_000, 1, 10 * SECONDS),
        "MP3, 4 h at 8 kHz": silence("MP3", "MPEG_LAYER_III", 8_000, 1, 4 * SECONDS),
    }
