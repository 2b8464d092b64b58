"""encoder -> bottleneck -> decoder, and what one does with them."""

import difflib
import hashlib
import json
import math
import reprlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, overload

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from audiovq import inference, registry, release
from audiovq.bottlenecks._base import (
    Bottleneck,
    BottleneckOutput,
    Condition,
    Context,
    DiscreteBottleneck,
)
from audiovq.config import Config, component
from audiovq.decoders._base import Decoder
from audiovq.encoders._base import Encoder
from audiovq.errors import AudioError, ConfigError
from audiovq.nn.conv import Span
from audiovq.nn.tree import register_output
from audiovq.streaming import Stream

if TYPE_CHECKING:
    from audiovq.cards.words import Words
    from audiovq.coding._base import CodeCoder
    from audiovq.prior import TrainedPrior


class AutoencoderConfig(Config):
    """Settings of an autoencoder: its three components and the rate they work at."""

    sample_rate: int = Field(16000, ge=1000, le=384000, description="samples per second (Hz)")
    encoder: component("encoders") = Field(  # type: ignore[valid-type]
        "conv", validate_default=True, description="waveform to frames"
    )
    bottleneck: component("bottlenecks") = Field(  # type: ignore[valid-type]
        "vq_ema", validate_default=True, description="frames to codes or to a smaller sequence"
    )
    decoder: component("decoders") = Field(  # type: ignore[valid-type]
        "conv", validate_default=True, description="frames to waveform"
    )


@register_output
@dataclass(frozen=True, kw_only=True, slots=True)
class AutoencoderOutput:
    """What a training step needs.

    Attributes:
        x_hat: reconstruction, as long as x.
        z_e: encoder output.
        bottleneck: the bottleneck's output.
        frames: real frames per item (of encoder output).
    """

    x_hat: Float[Tensor, "B 1 L"]
    z_e: Float[Tensor, "B C T"]
    bottleneck: BottleneckOutput
    frames: Int[Tensor, "B"]


class Autoencoder(nn.Module):
    """A 1-D autoencoder of waveforms with any bottleneck.

    Length: an item of L samples has frames(L) = ceil(L / hop_length) frames; frame t stands for
    samples [t * hop_length, (t + 1) * hop_length); decoding gives back exactly L samples.

    Invariance: an item gives the same codes alone, in a padded batch and in windows, up to
    floating-point rounding; `encode(..., exact=True)` removes the rounding too.
    """

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        make_encoder = registry.owner("encoders", config.encoder).cls
        make_bottleneck = registry.owner("bottlenecks", config.bottleneck).cls
        make_decoder = registry.owner("decoders", config.decoder).cls
        self.bottleneck: Bottleneck = make_bottleneck(config.bottleneck)
        self.encoder: Encoder = make_encoder(config.encoder, self.bottleneck.in_channels)
        self.decoder: Decoder = make_decoder(
            config.decoder, self.bottleneck.out_channels, self.encoder.strides
        )
        if self.decoder.hop_length != self.encoder.hop_length:
            raise ConfigError(
                f"decoder.strides multiply to {self.decoder.hop_length} samples per frame, "
                f"encoder.strides to {self.encoder.hop_length}: make them equal, or leave "
                f"decoder.strides out"
            )
        self.sample_rate = config.sample_rate
        self.hop_length = self.encoder.hop_length * self.bottleneck.stride
        self._speaker_rows = {name: i for i, name in enumerate(self.speakers, 1)}

    # ------------------------------------------------------------------ facts

    @property
    def frame_rate(self) -> float:
        """Frames of codes per second (Hz)."""
        return float(self.sample_rate / self.hop_length)

    @property
    def is_discrete(self) -> bool:
        """Whether the bottleneck emits codes."""
        return isinstance(self.bottleneck, DiscreteBottleneck)

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        """Codebook size of each row of codes; empty for a continuous model."""
        b = self.bottleneck
        return b.codebook_sizes if isinstance(b, DiscreteBottleneck) else ()

    @property
    def num_codebooks(self) -> int:
        """Rows K of the codes; 0 for a continuous model."""
        return len(self.codebook_sizes)

    @property
    def layout(self) -> tuple[str, ...]:
        """What each row of codes holds; empty for a continuous model."""
        b = self.bottleneck
        return b.layout if isinstance(b, DiscreteBottleneck) else ()

    @property
    def bitrate(self) -> float | None:
        """Nominal bits per second, frame_rate * sum of log2 N; None for a continuous model."""
        if not self.is_discrete:
            return None
        return self.frame_rate * sum(math.log2(n) for n in self.codebook_sizes)

    @property
    def receptive_field(self) -> tuple[int, int]:
        """Samples before and after a frame's own that its code depends on."""
        before, after = self.bottleneck.context
        span = self.encoder.input_span(
            Span(-before * self.bottleneck.stride, (1 + after) * self.bottleneck.stride)
        )
        return -span.start, span.end - self.hop_length

    @property
    def speakers(self) -> tuple[str, ...]:
        """Names of the speakers the decoder can be given; empty if it takes none."""
        return self.decoder.speakers

    def speaker_index(
        self, names: Sequence[str | None], *, strict: bool = True
    ) -> Int[Tensor, "B"]:
        """Return the `condition` for speakers by name, on the model's device; 0 for None.

        Args:
            names: one per item; None stands for anyone.
            strict: refuse names that are not in `speakers`; otherwise they are anyone, too.

        Raises:
            ConfigError: the model knows no speakers, or not one of these.
        """
        self._check_speakers()
        unknown = [n for n in names if n is not None and n not in self._speaker_rows]
        if unknown and strict:
            near = difflib.get_close_matches(unknown[0], self.speakers, 3, 0.4)
            raise ConfigError(
                f"no speaker {unknown[0]!r} in this model; near: "
                f"{', '.join(map(repr, near or self.speakers[:3]))}; "
                f"model.speakers (audiovq convert MODEL --list-speakers) holds all "
                f"{len(self.speakers)}"
            )
        rows = [0 if n is None else self._speaker_rows.get(n, 0) for n in names]
        return torch.tensor(rows, dtype=torch.int64, device=next(self.parameters()).device)

    @torch.no_grad()
    def voice(self, reference: Float[Tensor, "B 1 L"]) -> Float[Tensor, "B E"]:
        """Return the `condition` for the voices of recordings, of any speakers.

        Args:
            reference: waveforms in [-1, 1] at sample_rate, one recording each; zeros at an end
                count for nothing. `audiovq.voice` checks a recording first.

        Raises:
            ConfigError: the model has no reference encoder.
            AudioError: a waveform is not finite.
        """
        self._check_speakers()
        if self.decoder.reference is None:
            raise ConfigError(
                "this model knows the voices of its table alone (model.speakers): it was trained "
                "without a reference encoder; give it one (audiovq fit-reference)"
            )
        inference.finite(reference)
        device = next(self.parameters()).device
        found: Tensor = self.decoder.reference(reference.to(device))
        return found

    @property
    def num_parameters(self) -> int:
        """Scalars that training changes: weights, codebooks, and their running statistics."""
        buffers = (b for b in self.bottleneck.buffers() if b.is_floating_point())
        return sum(p.numel() for p in self.parameters()) + sum(b.numel() for b in buffers)

    @overload
    def frames(self, lengths: int) -> int: ...
    @overload
    def frames(self, lengths: Int[Tensor, "B"]) -> Int[Tensor, "B"]: ...
    def frames(self, lengths: int | Int[Tensor, "B"]) -> int | Int[Tensor, "B"]:
        """Return how many frames that many samples have: ceil(L / hop_length)."""
        frames: int | Tensor = -(-lengths // self.hop_length)
        return frames

    def fingerprint(self) -> str:
        """Return the SHA-256 of weights and config: equal if and only if the model is."""
        digest = hashlib.sha256(
            json.dumps(self.config.model_dump(mode="json"), sort_keys=True).encode()
        )
        for name, value in sorted(release.plain_state(self).items()):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.contiguous().cpu().numpy().tobytes())
        return digest.hexdigest()

    # --------------------------------------------------------------- training

    def forward(
        self,
        x: Float[Tensor, "B 1 L"],
        lengths: Int[Tensor, "B"] | None = None,
        keys: Int[Tensor, "B"] | None = None,
        condition: Condition | None = None,
        reference: Float[Tensor, "B 1 _"] | None = None,
    ) -> AutoencoderOutput:
        """Reconstruct a batch.

        Args:
            x: waveforms in [-1, 1] at sample_rate, zero past each item's end.
            lengths: real samples per item; all of them when None.
            keys: one integer per item, from which all randomness derives.
            condition: speaker of each item, by `speaker_index` or `voice`; None: anyone.
            reference: another segment of each item's speaker, from which a share of the voices is
                heard in training.

        Raises:
            ConfigError: a condition is given and the model knows no speakers.
            AudioError: x is empty.
        """
        if condition is not None:
            self._check_speakers()
        if x.numel() == 0:
            raise AudioError(f"x is empty: {tuple(x.shape)} given")
        size = x.shape[-1]
        padded = F.pad(x, (0, -size % self.hop_length))
        frames, mask = self._mask(lengths, padded)
        needs_gradient = self.bottleneck.needs_input_gradient
        keep_graph = torch.is_grad_enabled()
        with torch.set_grad_enabled(keep_graph or needs_gradient):
            if needs_gradient:
                padded = padded.detach().requires_grad_()
            context = Context(
                mask=mask,
                x=padded if needs_gradient else None,
                keys=keys,
                condition=condition,
                reference=reference,
            )
            z_e = self.encoder(padded, None if mask is None else mask.to(padded.dtype))
            out = self.bottleneck(z_e, context)
        x_hat = self.decoder(out.z, context)[..., :size]
        return AutoencoderOutput(x_hat=x_hat, z_e=z_e, bottleneck=out, frames=frames)

    def _mask(
        self, lengths: Int[Tensor, "B"] | None, padded: Float[Tensor, "B 1 L"]
    ) -> tuple[Int[Tensor, "B"], Bool[Tensor, "B 1 T"] | None]:
        """Return real encoder frames per item, and the mask of them (None when all are real)."""
        T = padded.shape[-1] // self.encoder.hop_length
        if lengths is None:
            return torch.full((len(padded),), T, device=padded.device), None
        frames = -(-lengths // self.hop_length) * self.bottleneck.stride
        index = torch.arange(T, device=padded.device)
        return frames, (index < frames.unsqueeze(1)).unsqueeze(1)

    # -------------------------------------------------------------- inference

    @torch.no_grad()
    def encode(
        self,
        x: Float[Tensor, "B 1 L"],
        lengths: Int[Tensor, "B"] | None = None,
        *,
        exact: bool = False,
        chunk_frames: int | None = None,
    ) -> Int[Tensor, "B K T"]:
        """Return the codes of waveforms.

        Args:
            x: waveforms in [-1, 1] at sample_rate.
            lengths: real samples per item; all of them when None.
            exact: compute every item in windows that depend on its own length alone, so that on
                one device and at one thread count the codes are the same whatever the batch,
                padding or chunking. `encode_many` is faster for many short items.
            chunk_frames: work through the batch in chunks of this many frames; None: whole, or
                in chunks when long. Changes memory and rounding, not the result.

        Returns:
            int64 in [0, N); 0 past an item's end.

        Raises:
            ConfigError: the model is continuous and has no codes; use `embed`.
            AudioError: x is not finite, or lengths do not fit.
        """
        self.discrete_bottleneck()
        step = inference.to_codes(self)
        return inference.run(step, x, lengths, exact=exact, chunk_frames=chunk_frames)

    @torch.no_grad()
    def embed(
        self,
        x: Float[Tensor, "B 1 L"],
        lengths: Int[Tensor, "B"] | None = None,
        *,
        exact: bool = False,
        chunk_frames: int | None = None,
    ) -> Float[Tensor, "B D T"]:
        """Return what the decoder would receive: z, for every model; arguments as in `encode`.

        Zero past an item's end.
        """
        step = inference.to_embedding(self)
        return inference.run(step, x, lengths, exact=exact, chunk_frames=chunk_frames)

    @torch.no_grad()
    def encode_many(
        self, items: Sequence[Float[Tensor, "1 1 _"]], *, exact: bool = True
    ) -> list[Int[Tensor, "K _"]]:
        """Return the codes of several waveforms of any lengths.

        On a CPU short ones share a window, as many as fit, which is faster than one by one.

        Args:
            items: waveforms in [-1, 1] at sample_rate, on the model's device.
            exact: the codes of each equal `encode(..., exact=True)` of it alone, whatever the
                others are; on a CPU that costs nothing.

        Raises:
            ConfigError: the model is continuous and has no codes; use `embed_many`.
            AudioError: an item is not finite or not of shape (1, 1, L).
        """
        self.discrete_bottleneck()
        return [c[0] for c in inference.run_many(inference.to_codes(self), items, exact=exact)]

    @torch.no_grad()
    def embed_many(
        self, items: Sequence[Float[Tensor, "1 1 _"]], *, exact: bool = True
    ) -> list[Float[Tensor, "D _"]]:
        """Return what the decoder would receive for several waveforms; as `encode_many`."""
        return [z[0] for z in inference.run_many(inference.to_embedding(self), items, exact=exact)]

    @torch.no_grad()
    def decode(
        self,
        codes: Int[Tensor, "B K T"],
        length: int | Sequence[int] | Int[Tensor, "B"] | None = None,
        condition: Condition | None = None,
    ) -> Float[Tensor, "B 1 L"]:
        """Return the waveforms of codes.

        Args:
            codes: as `encode` returns them; the first rows of a residual model suffice.
            length: samples per item, in ((T - 1) * hop_length, T * hop_length] for the longest,
                and at most T * hop_length for all; None: T * hop_length.
            condition: speaker of each item, by `speaker_index` or `voice`; None: anyone.

        Returns:
            as long as the longest item; zero past an item's end.
        """
        bottleneck = self.discrete_bottleneck()
        inference.check_codes(codes, bottleneck.codebook_sizes)
        lengths = inference.fit_lengths(length, len(codes), codes.shape[-1], self.hop_length)
        step = inference.to_waveform(self, self._checked(condition, len(codes)))
        return inference.run_back(step, bottleneck.decode(codes), lengths)

    @torch.no_grad()
    def decode_embedding(
        self,
        z: Float[Tensor, "B D T"],
        length: int | Sequence[int] | Int[Tensor, "B"] | None = None,
        condition: Condition | None = None,
    ) -> Float[Tensor, "B 1 L"]:
        """Return the waveforms of what `embed` returns; arguments as in `decode`."""
        frames = z.shape[-1] // self.bottleneck.stride
        lengths = inference.fit_lengths(length, len(z), frames, self.hop_length)
        step = inference.to_waveform(self, self._checked(condition, len(z)))
        return inference.run_back(step, z, lengths)

    @torch.no_grad()
    def reconstruct(
        self,
        x: Float[Tensor, "B 1 L"],
        lengths: Int[Tensor, "B"] | None = None,
        condition: Condition | None = None,
    ) -> Float[Tensor, "B 1 L"]:
        """Return x passed through the whole model, in bounded memory, for every model.

        With a `condition` (as in `decode`) it is heard from those speakers.
        """
        step = inference.to_waveform(self, self._checked(condition, len(x)))
        z = self.embed(x, lengths)
        each = [x.shape[-1]] * len(x) if lengths is None else lengths.tolist()
        x_hat = inference.run_back(step, z, each)
        return F.pad(x_hat, (0, x.shape[-1] - x_hat.shape[-1]))

    @torch.no_grad()
    def encode_blocks(
        self, blocks: Iterable[Float[Tensor, "1 1 _"]]
    ) -> Iterator[Int[Tensor, "1 K _"]]:
        """Yield the codes of one item that arrives in blocks of any size.

        Joined, they equal `encode(..., exact=True)` of the whole. Holds a few seconds of audio.
        """
        self.discrete_bottleneck()
        yield from inference.stream(inference.to_codes(self), blocks)

    @torch.no_grad()
    def embed_blocks(
        self, blocks: Iterable[Float[Tensor, "1 1 _"]]
    ) -> Iterator[Float[Tensor, "1 D _"]]:
        """Yield what the decoder would receive for one item that arrives in blocks.

        Joined, they equal `embed(..., exact=True)` of the whole. Holds a few seconds of audio.
        """
        yield from inference.stream(inference.to_embedding(self), blocks)

    @torch.no_grad()
    def reconstruct_blocks(
        self, blocks: Iterable[Float[Tensor, "1 1 _"]], condition: Condition | None = None
    ) -> Iterator[Float[Tensor, "1 1 _"]]:
        """Yield the reconstruction of one item that arrives in blocks; as long as what came in.

        With a `condition` (as in `decode`) it is heard from that speaker.
        """
        back = inference.to_waveform(self, self._checked(condition, 1))
        yield from inference.stream_through(inference.to_embedding(self), back, blocks)

    def stream(
        self,
        batch: int = 1,
        *,
        speaker: str | Sequence[str | None] | None = None,
        condition: Condition | None = None,
    ) -> Stream:
        """Return what takes samples or codes as they come; for causal models.

        Args:
            batch: recordings that arrive in lockstep.
            speaker: who shall be heard, by name: one for all, or one per recording.
            condition: the same by `speaker_index` or `voice`; None: anyone.

        Raises:
            ConfigError: the model looks ahead, or does not know such speakers.
        """
        if speaker is not None:
            names = [speaker] * batch if isinstance(speaker, str) else list(speaker)
            condition = self.speaker_index(names)
        return Stream(self, batch, self._checked(condition, batch))

    def compress(
        self,
        x: Float[Tensor, "1 1 L"],
        prior: "TrainedPrior | CodeCoder | None" = None,
        *,
        codebooks: int | None = None,
        block_seconds: float = 60.0,
    ) -> bytes:
        """Return a waveform as the bytes of a compressed file; `coding.decompress` is its inverse.

        Args:
            x: one waveform in [-1, 1] at sample_rate; its codes are those of `encode(exact=True)`.
            prior: of this model's codes, to write them in fewer bits; needed again to read.
            codebooks: write the first so many rows of a residual model; None: all.
            block_seconds: audio per block, each read on its own (s).

        Raises:
            ConfigError: the model is continuous, or a setting does not fit it.
            CheckpointError: the prior is of another model's codes.
            AudioError: x is not one finite waveform.
        """
        from audiovq.coding.avq import compress  # noqa: PLC0415  (a circle)

        return compress(self, x, prior, codebooks=codebooks, block_seconds=block_seconds)

    # --------------------------------------------------------------- saving

    def save(self, folder: str | Path, *, half: bool = False) -> None:
        """Write the model as a folder: `model.safetensors` and `config.json`, safe to share.

        With `half` weights are rounded to float16 (half the bytes); what is loaded is the rounded
        model, so that is the one to evaluate.
        """
        release.save(self, Path(folder), half=half)

    def save_pretrained(
        self,
        folder: str | Path,
        *,
        half: bool = False,
        words: "Words | None" = None,
        evaluations: Sequence[str | Path] = (),
        run: str | Path | None = None,
    ) -> None:
        """Write the model in the layout of the Hugging Face hub: config, weights, `README.md`.

        Args:
            folder: made if missing; its name is the model's in the card. A card there is replaced.
            half: store float16, as in `save`.
            words: what the card says that no program can measure.
            evaluations: JSON files of `audiovq evaluate` and the like, of the weights as stored.
            run: run folder that it was trained in, for how.

        Raises:
            CheckpointError: a weight is not finite, or a file cannot be read.
            ConfigError: an evaluation is of another model, or `run` is no run folder.
        """
        from audiovq import pretrained  # noqa: PLC0415  (a circle)

        more = {} if words is None else {"words": words}
        pretrained.save(self, folder, half=half, evaluations=evaluations, run=run, **more)

    @classmethod
    def from_pretrained(
        cls, source: str | Path, *, revision: str | None = None, plugins: Collection[str] = ()
    ) -> "Autoencoder":
        """Load a model from a folder, by its name, or from the Hugging Face hub.

        Args:
            source: a folder, a name of `audiovq.models()`, or OWNER/NAME, which is fetched and
                needs huggingface_hub and the network. A folder of that name comes first.
            revision: of what is fetched: branch, tag or commit.
            plugins: dotted names of plug-in components you trust, if the model uses any.

        Raises:
            CheckpointError: there is no such model, it cannot be fetched, or it is damaged.
            ConfigError: huggingface_hub is needed and not installed.
        """
        from audiovq import pretrained  # noqa: PLC0415  (a circle)

        return release.load(pretrained.find(source, revision), plugins)

    def _check_speakers(self) -> None:
        if not self.speakers:
            raise ConfigError(
                f"a model with the decoder {self.config.decoder.name!r} and no table of speakers "
                f"takes none; train one with `istft_speaker` (audiovq train autoencoder/vq_voice)"
            )

    def _checked(self, condition: Condition | None, items: int) -> Condition | None:
        """Return a condition that fits, on the model's device.

        Checked here, for on a GPU a row that is not there would end the process.

        Raises:
            ConfigError: the model knows no speakers, or the condition is not a row per item, or a
                vector.
        """
        if condition is None:
            return None
        self._check_speakers()
        if condition.is_floating_point():
            self._check_voices(condition, items)
        else:
            self._check_rows(condition, items)
        return condition.to(next(self.parameters()).device)

    def _check_voices(self, voices: Tensor, items: int) -> None:
        size = self.config.decoder.speaker_dim  # every decoder that takes speakers has it
        if tuple(voices.shape) != (items, size) or not bool(torch.isfinite(voices).all()):
            raise ConfigError(
                f"condition of {voices.dtype} and shape {tuple(voices.shape)} given; finite "
                f"vectors of shape {(items, size)} are accepted, as model.voice(x) returns them"
            )

    def _check_rows(self, condition: Tensor, items: int) -> None:
        if condition.dtype != torch.int64 or condition.ndim != 1:
            raise ConfigError(
                f"condition of {condition.dtype} and shape {tuple(condition.shape)} given; int64 "
                f"and one per item is accepted, as model.speaker_index(names) returns it"
            )
        rows = condition.tolist()
        if len(rows) != items or not all(0 <= row <= len(self.speakers) for row in rows):
            raise ConfigError(
                f"condition {reprlib.repr(rows)} given; {items} values from 0 (anyone) to "
                f"{len(self.speakers)} are accepted, as model.speaker_index(names) returns them"
            )

    def discrete_bottleneck(self) -> DiscreteBottleneck:
        """Return the bottleneck of a model with codes.

        Raises:
            ConfigError: the model is continuous.
        """
        if not isinstance(self.bottleneck, DiscreteBottleneck):
            raise ConfigError(
                f"a model with the bottleneck {self.config.bottleneck.name!r} is continuous and "
                f"has no codes; use embed() and decode_embedding(), or train a discrete one"
            )
        return self.bottleneck
