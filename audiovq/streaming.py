"""Sound and codes as they come: causal models on samples that arrive in blocks of any size."""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from audiovq import inference
from audiovq import streaming_steps as steps
from audiovq.errors import AudioError, AudioVQError, ConfigError
from audiovq.nn import lean
from audiovq.nn.stepping import State
from audiovq.streaming_base import Closable
from audiovq.streaming_buffer import Buffer, cut

if TYPE_CHECKING:
    from audiovq.autoencoder import Autoencoder


class Stream(Closable):
    """Several recordings in lockstep, of which each call takes the next samples or codes.

    What comes out, joined, is what the model gives for all of it at once: samples to rounding,
    about 1e-6, and codes but for a code that rounding decides. It does not depend at all on how
    the input is cut, since frames are computed one by one. Memory does not grow.

    Samples to codes, codes to samples, and both in one (`reconstruct`) have their own place in
    their recordings: one stream can encode what is said here and decode what is said elsewhere.
    Weights are taken as they are at first use; open another stream after they changed. Not for
    several threads at once.

    Attributes:
        latency: samples from one that goes in to when the first that it changes comes out, itself
            included, if it comes first in its frame: a frame is computed when its last sample is
            there. What comes out is in time with what went in: sample n for sample n.
        batch: recordings.
    """

    def __init__(
        self,
        model: "Autoencoder",
        batch: int = 1,
        condition: Tensor | None = None,
    ) -> None:
        if batch < 1:
            raise ConfigError(f"batch={batch} given; at least 1 recording is needed")
        self.model, self.batch, self.latency = model, batch, model.hop_length
        self._condition = condition
        self._like = next(model.parameters()).detach()
        self._kept: lean.Kept = {}
        self._encoder: State = ()
        self._decoder: State = ()
        self._refusals = {
            "encode": _refusal(model, "encoder", "bottleneck"),
            "decode": _refusal(model, "decoder"),
        }
        if all(self._refusals.values()):
            steps.check(model, ("encoder", "bottleneck", "decoder"))
        self._start()

    # ---------------------------------------------------------- samples to codes

    def encode(self, x: Tensor, *, last: bool = False) -> Int[Tensor, "B K _"]:
        """Return the codes that are complete with the next samples.

        Args:
            x: the next samples (B, 1, L) at sample_rate in [-1, 1]; L may be 0.
            last: whether none come after; zeros then complete the last frame, as they do offline.

        Raises:
            ConfigError: the model is not causal or not discrete, or the stream is closed.
            AudioError: x is not finite or not of that shape, or comes after the last.
        """
        discrete = self.model.discrete_bottleneck()
        frames = self._take(x, last=last)
        return self._each(frames, self._encode, len(discrete.codebook_sizes), torch.int64)

    def embed(self, x: Tensor, *, last: bool = False) -> Float[Tensor, "B D _"]:
        """Return what the decoder would receive, for every model; otherwise as `encode`."""
        frames = self._take(x, last=last)
        return self._each(frames, self._embed, self.model.bottleneck.out_channels)

    # ---------------------------------------------------------- codes to samples

    def decode(self, codes: Tensor) -> Float[Tensor, "B 1 _"]:
        """Return the samples of the next codes.

        Args:
            codes: (B, K, T), T may be 0; the first rows of a residual model suffice.

        Raises:
            ConfigError: the model is not causal or not discrete, codes are out of range or not of
                that shape, or the stream is closed.
        """
        discrete = self.model.discrete_bottleneck()
        self._check("decode")
        self._check_shape(codes, "codes", None)
        codes = inference.whole(codes)
        if codes.shape[-1]:
            inference.check_codes(codes, discrete.codebook_sizes)
        columns = cut(codes.to(self._like.device), 1)
        return self._each(columns, lambda c: self._decode(discrete.decode(c)), 1)

    def decode_embedding(self, z: Tensor) -> Float[Tensor, "B 1 _"]:
        """Return the samples of the next frames of what `embed` returns (B, D, T); as `decode`."""
        self._check("decode")
        stride = self.model.bottleneck.stride
        self._check_shape(z, "frames", self.model.bottleneck.out_channels)
        if z.shape[-1] % stride:
            raise ConfigError(f"{z.shape[-1]} frames given; a multiple of {stride} is accepted")
        z = inference.finite(z.to(self._like))
        return self._each(cut(z, stride), self._decode, 1)

    def reconstruct(self, x: Tensor, *, last: bool = False) -> Float[Tensor, "B 1 _"]:
        """Return the next samples passed through the whole model; otherwise as `encode`.

        With the last there are as many as went in.
        """
        self._check("decode")
        frames = self._take(x, last=last)
        y = self._each(frames, lambda f: self._decode(self._embed(f)), 1)
        return y[..., : y.shape[-1] - self._buffer.missing]

    # ------------------------------------------------------------------ the stream

    @property
    def state_bytes(self) -> int:
        """Bytes held from one call to the next: the layers' states and an incomplete frame."""
        held = (*self._encoder, *self._decoder, self._buffer.waiting)
        return sum(t.numel() * t.element_size() for t in held)

    def reset(self, rows: Sequence[int] | None = None) -> None:
        """Begin new recordings: in all rows, or in some while the others go on.

        Raises:
            ConfigError: there is no such row, some rows are to begin in the middle of a frame, or
                the stream is closed.
        """
        self._check_open()
        if rows is None:
            self._start()
            return
        if any(not 0 <= row < self.batch for row in rows):
            raise ConfigError(f"rows {list(rows)} given; 0 to {self.batch - 1} are accepted")
        if waiting := self._buffer.waiting.shape[-1]:
            raise ConfigError(
                f"some rows can begin anew between two frames only, and {waiting} samples wait for "
                f"{self.model.hop_length}: complete the frame, or reset all rows"
            )
        going_on = torch.ones(self.batch, 1, 1, dtype=torch.bool, device=self._like.device)
        going_on[list(rows)] = False
        self._encoder = tuple(torch.where(going_on, t, 0.0) for t in self._encoder)
        self._decoder = tuple(torch.where(going_on, t, 0.0) for t in self._decoder)

    def close(self) -> None:
        """Let go of all memory; what waits for its frame is dropped (`last=True` gives it)."""
        self._closed = True
        self._kept.clear()
        self._encoder = self._decoder = ()
        self._buffer = Buffer(self._none(1), self.model.hop_length)

    # ---------------------------------------------------------------------- inside

    def _start(self) -> None:
        if self._refusals["encode"] is None:
            self._encoder = steps.encoder_state(self.model, self.batch, self._like)
        if self._refusals["decode"] is None:
            self._decoder = steps.decoder_state(self.model, self.batch, self._like)
        self._buffer = Buffer(self._none(1), self.model.hop_length)

    def _encode(self, x: Float[Tensor, "B 1 L"]) -> Int[Tensor, "B K T"]:
        codes, self._encoder = steps.encode(self.model, x, self._encoder)
        return codes

    def _embed(self, x: Float[Tensor, "B 1 L"]) -> Float[Tensor, "B D T"]:
        z, self._encoder = steps.embed(self.model, x, self._encoder)
        return z

    def _decode(self, z: Float[Tensor, "B D T"]) -> Float[Tensor, "B 1 L"]:
        x_hat, self._decoder = steps.decode(self.model, z, self._decoder, self._condition)
        return x_hat

    def _each(
        self,
        parts: Iterable[Shaped[Tensor, "B C _"]],
        function: Callable[[Tensor], Tensor],
        channels: int,
        dtype: torch.dtype | None = None,
    ) -> Shaped[Tensor, "B C_out _"]:
        with torch.inference_mode(), lean.weights_kept_in(self._kept):
            done = [function(part) for part in parts]
        # Joined outside, so that what comes out may take part in a gradient.
        return torch.cat(done, dim=-1) if done else self._none(channels, dtype)

    def _none(self, channels: int, dtype: torch.dtype | None = None) -> Shaped[Tensor, "B C 0"]:
        return self._like.new_zeros(self.batch, channels, 0, dtype=dtype)

    def _take(self, x: Tensor, *, last: bool) -> list[Float[Tensor, "B 1 hop"]]:
        """Return the frames that the next samples complete."""
        self._check("encode")
        self._check_shape(x, "samples", 1, AudioError)
        if not x.is_floating_point():
            raise AudioError(f"samples of {x.dtype} given; floats in [-1, 1] are accepted")
        # Detached: what waits for its frame would keep all that it was made by.
        whole = self._buffer.take(inference.finite(x.detach().to(self._like)), last=last)
        return cut(whole, self.model.hop_length)

    def _check(self, way: str) -> None:
        self._check_open()
        refused = self._refusals[way]
        if refused is not None:
            raise refused

    def _check_shape(
        self, x: Tensor, what: str, channels: int | None, error: type[AudioVQError] = ConfigError
    ) -> None:
        if x.ndim != 3 or len(x) != self.batch or channels not in (None, x.shape[1]):
            wanted = "K" if channels is None else channels
            raise error(
                f"{what} of shape {tuple(x.shape)} given; ({self.batch}, {wanted}, any number) is "
                f"accepted, as the stream has batch={self.batch}"
            )


def _refusal(model: "Autoencoder", *parts: str) -> ConfigError | None:
    try:
        steps.check(model, parts)
    except ConfigError as error:
        return error
    return None
