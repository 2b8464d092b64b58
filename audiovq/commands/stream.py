"""The command that listens and speaks live."""

import contextlib
import dataclasses
import re
import signal
import sys
from collections.abc import Iterable, Iterator
from io import BufferedIOBase
from pathlib import Path
from typing import IO, Annotated, Any, cast

import typer

from audiovq._audio.pipe_format import PipeFormat
from audiovq.commands._app import (
    Device,
    Json,
    ModelArgument,
    Plugin,
    Threads,
    app,
    check_folder,
    load_model,
    print_json,
    set_threads,
)
from audiovq.errors import ConfigError

_STANDARD = Path("-")


@app.command()
def stream(
    model: ModelArgument,
    source: Annotated[
        Path, typer.Argument(metavar="INPUT", help="an audio file, or - for standard input")
    ] = _STANDARD,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="an audio file, or - for s16le samples on stdout"),
    ] = None,
    codes: Annotated[
        Path | None,
        typer.Option(help="a text file, or -: a line per frame, its codes between spaces"),
    ] = None,
    block: Annotated[
        str, typer.Option(help="how much comes at a time (ms), such as 20ms")
    ] = "20ms",
    realtime: Annotated[
        bool | None,
        typer.Option(
            "--realtime/--fast",
            help="take blocks at the pace of the sound, or at once; a file comes in real time, "
            "and of a pipe the other end keeps the pace",
        ),
    ] = None,
    form: Annotated[
        PipeFormat, typer.Option("--format", help="what standard input holds")
    ] = PipeFormat.wav,
    rate: Annotated[
        int | None, typer.Option(help="of raw samples on standard input (Hz); the model's")
    ] = None,
    speaker: Annotated[
        str | None, typer.Option(help="who shall speak, if the model was trained with speakers")
    ] = None,
    codebooks: Annotated[
        int | None, typer.Option(min=1, help="decode the first so many rows of a residual model")
    ] = None,
    force: Annotated[bool, typer.Option(help="replace files that are there")] = False,
    as_json: Json = False,
    threads: Threads = 1,
    device: Device = "cpu",
    plugin: Plugin = [],  # noqa: B006  (typer copies it)
) -> None:
    """Pass sound through a causal model live, block by block, and say how it kept up.

    For models whose ends are causal, such as autoencoder/rvq_live, and for folders that `audiovq
    export` made of them, which onnxruntime runs at less cost. Ctrl-C ends the recording; what was
    heard until then is kept. At the end it says on stderr how long blocks took (median, 95 %,
    worst), how many came too late, and the speed.

    Example: arecord -f S16_LE -r 16000 | audiovq stream runs/live -o - | aplay -f S16_LE -r 16000
    """
    from audiovq.streaming_live import Clock, listen

    set_threads(threads)
    _check_targets(source, out, codes, as_json=as_json, force=force)
    loaded = _loaded(model, device, plugin, codebooks, threads)
    size = _block_samples(block, loaded.sample_rate)
    paced = source != _STANDARD if realtime is None else realtime
    with loaded.stream(speaker=speaker) as live, _Ending() as ending:
        clock = Clock(size / loaded.sample_rate, paced=paced)
        blocks = ending.of(_blocks(source, loaded.sample_rate, size, form, rate))
        heard = listen(
            live, blocks, clock,
            codes=codes is not None or codebooks is not None,
            sound=out is not None or codes is None,
            codebooks=codebooks,
        )  # fmt: skip
        seconds = _write(heard, out, codes, loaded.sample_rate)
        timing = clock.timing(seconds, live.latency / loaded.sample_rate)
    _say(timing, as_json=as_json)


class _Ending:
    """Lets Ctrl-C end the input instead of the program; a second one ends the program."""

    def __init__(self) -> None:
        self._waiting = self._stop = False

    def of(self, blocks: Iterable[Any]) -> Iterator[Any]:
        """Yield blocks until they end or Ctrl-C is pressed."""
        blocks = iter(blocks)
        while not self._stop:
            try:
                self._waiting = True
                block = next(blocks, None)
            except KeyboardInterrupt:
                return
            finally:
                self._waiting = False
            if block is None:
                return
            yield block

    def _pressed(self, number: int, frame: object) -> None:
        del number, frame
        if self._waiting or self._stop:
            raise KeyboardInterrupt
        self._stop = True

    def __enter__(self) -> "_Ending":  # noqa: PYI034  (beartype refuses Self here)
        self._before = signal.signal(signal.SIGINT, self._pressed)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)


def _blocks(
    source: Path, sample_rate: int, size: int, form: PipeFormat, rate: int | None
) -> Iterator[Any]:
    """Yield the input in blocks of so many samples."""
    from audiovq import audio
    from audiovq.streaming_live import cut
    from audiovq.streaming_pipe import pipe_blocks

    if source == _STANDARD:
        return pipe_blocks(cast("BufferedIOBase", sys.stdin.buffer), form, rate, sample_rate, size)
    if rate is not None or form is not PipeFormat.wav:
        raise ConfigError(f"--rate and --format are of standard input; {source} states its own")
    audio.probe(source)
    return cut(audio.blocks(source, sample_rate), size)


def _write(heard: Iterable[Any], out: Path | None, codes: Path | None, sample_rate: int) -> float:
    """Write sound and codes as they come; return the seconds of sound that came in."""
    from audiovq import audio

    received = 0

    def sound(lines: IO[bytes] | None) -> Iterator[Any]:
        nonlocal received
        for part in heard:
            received += part.samples
            if lines is not None and part.codes is not None:
                rows = part.codes[0].t().tolist()
                lines.write("".join(" ".join(map(str, r)) + "\n" for r in rows).encode())
                lines.flush()
            if part.x_hat is not None:
                yield part.x_hat.cpu()

    with _opened(codes) as lines:
        parts = sound(lines)
        if out is None:
            for _ in parts:
                pass
        elif out == _STANDARD:
            _play(parts)
        else:
            subtype = "PCM_16" if out.suffix.lower() == ".wav" else None
            audio.save_blocks(out, parts, sample_rate, subtype)
    return received / sample_rate


def _opened(path: Path | None) -> contextlib.AbstractContextManager[IO[bytes] | None]:
    from audiovq.files import atomic_open

    if path is None or path == _STANDARD:
        return contextlib.nullcontext(sys.stdout.buffer if path else None)
    return atomic_open(path)


def _play(parts: Iterable[Any]) -> None:
    """Write 16-bit samples to standard output as they come."""
    for x in parts:
        samples = (x.flatten().clamp(-1.0, 1.0) * 32767.0).round().short().numpy()
        sys.stdout.buffer.write(samples.astype("<i2").tobytes())
        sys.stdout.buffer.flush()


def _say(timing: Any, *, as_json: bool) -> None:
    if as_json:
        print_json(dataclasses.asdict(timing))
        return
    t = timing
    sys.stderr.write(
        f"{t.seconds:.2f} s in {t.blocks} blocks of {t.block_ms:g} ms; latency {t.frame_ms:g} ms "
        f"(a frame) + computing {t.median_ms:.1f} ms (median), {t.p95_ms:.1f} (95 %), "
        f"{t.worst_ms:.1f} (worst); {t.late} late; {t.speed:.1f} x real time\n"
    )


def _block_samples(block: str, sample_rate: int) -> int:
    found = re.fullmatch(r"(\d+(?:\.\d+)?) *(?:ms)?", block.strip())
    samples = round(float(found[1]) * sample_rate / 1000) if found else 0
    if not 1 <= samples <= 60 * sample_rate:
        raise ConfigError(
            f"--block {block} given; milliseconds are accepted, such as 20ms, from one sample to a "
            f"minute (60000ms)"
        )
    return samples


def _loaded(path: Path, device: str, plugin: list[str], codebooks: int | None, threads: int) -> Any:
    """Return a model, or one that was exported."""
    from audiovq.export.live import Exported, is_exported

    if not is_exported(path):
        loaded = load_model(path, device, plugin)
        _check_codebooks(loaded, codebooks)
        return loaded
    if device != "cpu" or codebooks is not None:
        raise ConfigError(
            f"{path} is an export: it runs on the CPU, and with the codebooks that it was exported "
            f"with (audiovq export --codebooks)"
        )
    return Exported(path, threads)


def _check_codebooks(model: Any, codebooks: int | None) -> None:
    if codebooks is not None and codebooks > len(model.discrete_bottleneck().codebook_sizes):
        raise ConfigError(f"--codebooks {codebooks} given; the model has {model.num_codebooks}")


def _check_targets(
    source: Path, out: Path | None, codes: Path | None, *, as_json: bool, force: bool
) -> None:
    if [out, codes].count(_STANDARD) + as_json > 1:
        raise ConfigError("standard output holds one thing: samples, codes (-) or --json")
    for target in (out, codes):
        if target is None or target == _STANDARD:
            continue
        if target.is_dir():
            raise ConfigError(f"{target} is a folder; give the name of a file")
        if not target.exists():
            check_folder(target.parent)
        elif source.exists() and target.samefile(source):
            raise ConfigError(f"{target} is the input and would be lost: give another name")
        elif not force:
            raise ConfigError(f"{target} exists already; add --force to replace it")
