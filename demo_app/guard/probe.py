"""What an upload's header claims, read in a few hundred bytes of plain Python: nothing decodes.

libsndfile looks at the header again, in a process of its own (`child`); this look costs a
millisecond and turns away what is too long, too large or lies, before anything is started.
"""

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from audiovq.errors import AudioError

from ..settings import Settings

_MAX_CHUNKS = 64  # of a WAV before its samples
_TAIL = 1 << 16  # an Ogg page is at most this long, and the last one is looked for
_PLAIN_WAV = {1: "PCM", 3: "float", 6: "A-law", 7: "mu-law"}  # by format tag
_STREAMED = 0x7FFFF000  # writers that stream leave 0 or the largest size there: no claim
_MP3_RATES = (44_100, 48_000, 32_000)


@dataclass(frozen=True)
class Header:
    """What a file says of itself.

    Attributes:
        format: WAV, FLAC, OGG or MP3.
        sample_rate: Hz.
        channels: their number.
        num_samples: per channel; None where the header leaves it open.
    """

    format: str
    sample_rate: int
    channels: int
    num_samples: int | None


def check(file: IO[bytes], settings: Settings) -> Header:
    """Return a file's header, or say why the file cannot be taken.

    Raises:
        AudioError: empty, too large, no WAV, FLAC, Ogg or MP3, or its header states what is not
            accepted or not there.
    """
    size = file.seek(0, io.SEEK_END)
    if size == 0:
        raise AudioError("the file is empty (0 bytes): choose another")
    if size > settings.max_upload:
        raise AudioError(
            f"the file has {_mb(size)} MB; up to {_mb(settings.max_upload)} MB is accepted"
        )
    try:
        header = read(file, size)
    except (struct.error, IndexError):
        raise AudioError("the file's header is cut off or damaged: export it again") from None
    accept(header, settings)
    return header


def read(file: IO[bytes], size: int) -> Header:
    """Read the header of a file of so many bytes."""
    start = _after_id3(file)
    file.seek(start)
    head = file.read(64)
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return _wav(file, start, size)
    if head[:4] == b"fLaC":
        return _flac(head)
    if head[:4] == b"OggS":
        return _ogg(file, head, size)
    if len(head) >= 4 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2:  # sync, layer III
        return _mp3(head)
    raise AudioError("the file is no WAV, FLAC, Ogg or MP3: convert it to one of them")


def accept(header: Header, settings: Settings) -> None:
    """Refuse what is beyond the limits.

    Raises:
        AudioError: says what is stated and what is accepted.
    """
    low, high = settings.min_rate, settings.max_rate
    if not low <= header.sample_rate <= high:
        raise AudioError(
            f"the file states a sample rate of {header.sample_rate} Hz; {low} to {high} is accepted"
        )
    if not 1 <= header.channels <= settings.max_channels:
        raise AudioError(
            f"the file states {header.channels} channels; 1 to {settings.max_channels} is accepted"
        )
    if header.num_samples is None:
        return
    if header.num_samples < 1:
        raise AudioError("the file has a header but no samples: choose another")
    seconds = header.num_samples / header.sample_rate
    if seconds > settings.max_seconds:
        raise AudioError(
            f"the recording lasts {seconds:.1f} s; up to {settings.max_seconds:g} s is accepted: "
            "cut it"
        )
    decoded = 4 * header.num_samples * header.channels
    if decoded > settings.max_decoded:
        raise AudioError(
            f"the recording takes {_mb(decoded)} MB once decoded; up to "
            f"{_mb(settings.max_decoded)} MB is accepted: cut it, or lower its rate or channels"
        )


def _after_id3(file: IO[bytes]) -> int:
    """Return where a file begins behind the tag that players put in front."""
    file.seek(0)
    head = file.read(10)
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    length = 0
    for byte in head[6:10]:  # seven bits each
        length = length << 7 | byte & 0x7F
    return 10 + length


def _wav(file: IO[bytes], start: int, size: int) -> Header:
    layout = b""
    for name, at, length in _chunks(file, start + 12):
        if name == b"fmt ":
            layout = file.read(min(length, 40))
        elif name == b"data":
            return _pcm(layout, length, size - at)
    raise AudioError("the WAV file holds no samples, or they are not where they should be")


def _chunks(file: IO[bytes], at: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, position and stated length of each chunk, the file being there."""
    for _ in range(_MAX_CHUNKS):
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            return
        length = struct.unpack("<I", head[4:])[0]
        yield head[:4], at + 8, length
        at += 8 + length + length % 2


def _pcm(layout: bytes, stated: int, present: int) -> Header:
    tag, channels, rate, _, frame = struct.unpack_from("<HHIIH", layout)
    if tag == 0xFFFE:  # "extensible": the tag proper comes later
        tag = struct.unpack_from("<H", layout, 24)[0]
    if tag not in _PLAIN_WAV:
        kinds = ", ".join(_PLAIN_WAV.values())
        raise AudioError(f"the WAV file is compressed (kind {tag}); {kinds} is accepted")
    if frame == 0 or channels == 0:
        raise AudioError("the WAV file's header is damaged: export it again")
    if present < stated < _STREAMED:
        raise AudioError(
            f"the file is cut off: {present // frame} of {stated // frame} samples are there"
        )
    return Header("WAV", rate, channels, min(stated or present, present) // frame)


def _flac(head: bytes) -> Header:
    if head[4] & 0x7F != 0:  # the first block must be STREAMINFO
        raise AudioError("the FLAC file's header is damaged: export it again")
    packed = struct.unpack_from(">Q", head, 18)[0]  # 20 bits rate, 3 channels, 5 depth, 36 samples
    samples = packed & (1 << 36) - 1
    return Header("FLAC", packed >> 44, (packed >> 41 & 7) + 1, samples or None)


def _ogg(file: IO[bytes], head: bytes, size: int) -> Header:
    packet = head[27 + head[26] :]
    if packet[:8] == b"OpusHead":
        channels, rate = packet[9], 48_000  # what it decodes to, whatever it was made of
    elif packet[:7] == b"\x01vorbis":
        channels, rate = struct.unpack_from("<BI", packet, 11)
    else:
        raise AudioError("the Ogg file is neither Opus nor Vorbis: convert it to WAV or FLAC")
    file.seek(max(0, size - _TAIL))
    tail = file.read(_TAIL)
    last = tail.rfind(b"OggS")
    if last < 0 or not tail[last + 5] & 4:  # the flag of a stream's last page
        raise AudioError("the Ogg file is cut off: its end is missing")
    samples = struct.unpack_from("<q", tail, last + 6)[0]
    return Header("OGG", rate, channels, samples)


def _mp3(head: bytes) -> Header:
    version, rate = head[1] >> 3 & 3, head[2] >> 2 & 3
    if version == 1 or rate == 3:
        raise AudioError("the MP3 file's header is damaged: export it again")
    halved = {3: 0, 2: 1, 0: 2}[version]  # MPEG 1, 2, 2.5
    channels = 1 if head[3] >> 6 == 3 else 2
    return Header("MP3", _MP3_RATES[rate] >> halved, channels, None)


def _mb(size: int) -> str:
    return f"{size / 2**20:.1f}"
