"""Anchors: what a listener knows, coded by tools of others and measured like any system.

An anchor is named KIND:VALUE. Each measures the bits it spent per second of audio, without what a
container adds:

    opus:6          Opus at 6 kbit/s or more, by libsndfile's encoder (variable rate, mode audio)
    codec2:1300     Codec 2 by the programs c2enc and c2dec, at 8 kHz
    pcm:16          the original at so many bits per sample, 8 to 24
    resample:8      the original resampled to so many kHz and back; spends no stated rate
"""

import io
import shutil
import subprocess
import tempfile
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
import torch

from audiovq import audio
from audiovq.errors import ConfigError
from audiovq.eval.systems import Rendering, System, Wave

Samples = npt.NDArray[np.float32]

# libsndfile 1.2, ogg_opus.c: bits per second and channel = (1 - compression level) * 250000 + 6000
OPUS_LOWEST, OPUS_SPAN = 6000, 250000
OPUS_RATES = (8000, 12000, 16000, 24000, 48000)
# mode -> (bits per frame, samples per frame at 8 kHz); codec2.c of Codec 2 1.2
CODEC2_MODES = {
    "3200": (64, 160), "2400": (48, 160), "1600": (64, 320), "1400": (56, 320),
    "1300": (52, 320), "1200": (48, 320), "700C": (28, 320),
}  # fmt: skip
CODEC2_RATE = 8000
_SECONDS = 120  # a tool that takes longer for a minute of speech hangs


def parse(names: Sequence[str], sample_rate: int) -> list["Anchor"]:
    """Return anchors by name.

    Args:
        names: such as `opus:6`, `codec2:1300`, `pcm:16`, `resample:8`.
        sample_rate: of what they are given (Hz).

    Raises:
        ConfigError: a name is unknown, its value is not accepted, or its tool is missing.
    """
    return [_one(name.strip(), sample_rate) for name in names]


def _one(name: str, sample_rate: int) -> "Anchor":
    kind, _, value = name.partition(":")
    if kind not in _KINDS or not value:
        raise ConfigError(
            f"no anchor {name!r}; opus:KBIT_PER_S, codec2:MODE, pcm:BITS and resample:KHZ are known"
        )
    made: Anchor = _KINDS[kind](value, sample_rate)
    return made


class Anchor(System):
    """Base of the anchors."""

    def __init__(self, name: str, label: str, sample_rate: int) -> None:
        self.name, self.label, self.sample_rate = name, label, sample_rate

    @abstractmethod
    def code(self, x: Samples) -> tuple[Samples, float | None]:
        """Return what comes out, as long, and the bits spent; None: no rate is stated."""

    def about(self) -> dict[str, Any]:
        """Return its name and rate."""
        return {
            "fingerprint": self.name,
            "bottleneck": "anchor",
            "sample_rate": self.sample_rate,
            "codebook_sizes": [],
        }

    def render(self, x: Wave, heard: Wave, name: str) -> Rendering:  # noqa: ARG002  (a contract)
        """Code and decode one utterance."""
        out, bits = self.code(heard[0, 0].cpu().numpy())
        seconds = x.shape[-1] / self.sample_rate
        facts = {} if bits is None else {"payload_bitrate": bits / seconds}
        return Rendering(x, torch.from_numpy(out).view(1, 1, -1), facts)


class Opus(Anchor):
    """Opus through libsndfile, which compensates the codec's delay."""

    def __init__(self, value: str, sample_rate: int) -> None:
        rate = 1000 * _number("opus", value, OPUS_LOWEST / 1000, 256.0, "kbit/s")
        super().__init__(f"opus:{value}", f"Opus {value} kbit/s", sample_rate)
        if "OPUS" not in soundfile.available_subtypes("OGG"):
            raise ConfigError(
                f"opus:{value} needs Opus in libsndfile, and libsndfile "
                f"{soundfile.__libsndfile_version__} has none: pip install -U soundfile"
            )
        self.level = 1 - (rate - OPUS_LOWEST) / OPUS_SPAN
        self.rate = sample_rate if sample_rate in OPUS_RATES else max(OPUS_RATES)

    def code(self, x: Samples) -> tuple[Samples, float]:
        """Return the decoded waveform and the bits of its audio packets."""
        file = io.BytesIO()
        with soundfile.SoundFile(
            file, "w", self.rate, 1, "OPUS", format="OGG", compression_level=self.level
        ) as writer:
            writer.write(_resampled(x, self.sample_rate, self.rate))
        file.seek(0)
        out, rate = soundfile.read(file, dtype="float32")
        bits = 8.0 * ogg_payload(file.getvalue())
        return _fit(_resampled(out, rate, self.sample_rate), len(x)), bits

    def notes(self) -> Iterator[str]:
        """Yield how it is coded and its rate measured."""
        yield (
            f"libsndfile {soundfile.__libsndfile_version__}'s Opus encoder, variable rate; the "
            f"rate is that of its audio packets, without Ogg pages and the two header packets"
        )


class Codec2(Anchor):
    """Codec 2 through the programs c2enc and c2dec."""

    def __init__(self, value: str, sample_rate: int) -> None:
        if value not in CODEC2_MODES:
            raise ConfigError(f"no Codec 2 mode {value!r}; known: {', '.join(CODEC2_MODES)}")
        super().__init__(f"codec2:{value}", f"Codec 2 {value}", sample_rate)
        missing = [p for p in ("c2enc", "c2dec") if shutil.which(p) is None]
        if missing:
            raise ConfigError(
                f"codec2:{value} needs {' and '.join(missing)} on PATH: apt-get install codec2"
            )
        self.mode, (self.bits, self.frame) = value, CODEC2_MODES[value]

    def code(self, x: Samples) -> tuple[Samples, float]:
        """Return the decoded waveform and the bits of its frames, padding to bytes not counted."""
        narrow = _resampled(x, self.sample_rate, CODEC2_RATE)
        frames = -(-len(narrow) // self.frame)  # c2enc drops an unfinished frame
        whole = _fit(narrow, frames * self.frame)
        with tempfile.TemporaryDirectory() as folder:
            raw, coded, out = (Path(folder) / n for n in ("in.raw", "coded.bit", "out.raw"))
            raw.write_bytes((whole.clip(-1, 1) * 32767).round().astype("<i2").tobytes())
            # a name in .c2 would get a header
            for program, source, target in (("c2enc", raw, coded), ("c2dec", coded, out)):
                _run([program, self.mode, str(source), str(target)])
            spent = coded.stat().st_size // -(-self.bits // 8) * self.bits
            heard = np.frombuffer(out.read_bytes(), "<i2").astype(np.float32)
        return _fit(
            _resampled(heard / np.float32(32768), CODEC2_RATE, self.sample_rate), len(x)
        ), float(spent)

    def notes(self) -> Iterator[str]:
        """Yield how its rate is measured."""
        yield (
            "c2enc and c2dec at 8 kHz; the rate is that of its frames, the padding of a frame to "
            "whole bytes not counted; its delay is not compensated (alignment: none)"
        )


class PCM(Anchor):
    """The original, quantised evenly."""

    def __init__(self, value: str, sample_rate: int) -> None:
        self.bits = round(_number("pcm", value, 8.0, 24.0, "bits per sample"))
        super().__init__(f"pcm:{self.bits}", f"{self.bits}-bit original", sample_rate)

    def code(self, x: Samples) -> tuple[Samples, float]:
        """Return the rounded waveform."""
        steps = np.float32(2 ** (self.bits - 1))
        out = (x * steps).round().clip(-steps, steps - 1) / steps
        return out.astype(np.float32), float(self.bits * len(x))


class Resample(Anchor):
    """The original without what lies above half a lower rate."""

    def __init__(self, value: str, sample_rate: int) -> None:
        self.rate = round(1000 * _number("resample", value, 1.0, sample_rate / 1000, "kHz"))
        super().__init__(f"resample:{value}", f"{value} kHz and back", sample_rate)

    def code(self, x: Samples) -> tuple[Samples, None]:
        """Return the band-limited waveform."""
        low = _resampled(x, self.sample_rate, self.rate)
        return _fit(_resampled(low, self.rate, self.sample_rate), len(x)), None


_KINDS: dict[str, Any] = {"opus": Opus, "codec2": Codec2, "pcm": PCM, "resample": Resample}


def ogg_payload(data: bytes) -> int:
    """Return the bytes of the packets of an Ogg file after the two that head Opus.

    Source: RFC 3533, section 6; RFC 7845, section 3.
    """
    sizes, start, open_size = [], 0, 0
    while start < len(data):
        assert data[start : start + 4] == b"OggS"
        lacing = data[start + 27 : start + 27 + data[start + 26]]
        for value in lacing:
            open_size += value
            if value < 255:
                sizes.append(open_size)
                open_size = 0
        start += 27 + len(lacing) + sum(lacing)
    return sum(sizes[2:])


def _number(kind: str, value: str, low: float, high: float, unit: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if not low <= number <= high:
        raise ConfigError(f"{kind}:{value}; {low:g} to {high:g} {unit} is accepted")
    return number


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(  # noqa: S603  (a fixed program on files of ours)
            command, capture_output=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"{command[0]} {command[1]} does not run here: {error}") from None
    if done.returncode:
        why = done.stderr.decode(errors="replace").strip().splitlines()
        raise ConfigError(
            f"{' '.join(command[:2])} failed with exit code {done.returncode}: "
            f"{why[-1] if why else 'no message'}"
        )


def _resampled(x: Samples, from_rate: int, to_rate: int) -> Samples:
    if from_rate == to_rate:
        return x
    out: Samples = audio.resample(
        torch.from_numpy(np.ascontiguousarray(x)), from_rate, to_rate
    ).numpy()
    return out


def _fit(x: Samples, length: int) -> Samples:
    """Return x cut or padded at its end."""
    padded: Samples = np.pad(x[:length], (0, max(0, length - len(x))))
    return padded
