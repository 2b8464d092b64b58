"""A layer of a HuBERT-like model of the transformers library, from the user's own disk."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from math import prod
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

# transformers imports torchaudio, which may refuse this build of torch: ours must be there first
from audiovq import _torchaudio  # noqa: F401
from audiovq.audio import MAX_RATE, MIN_RATE
from audiovq.errors import CheckpointError, ConfigError
from audiovq.units.features._base import Features, finite
from audiovq.units.optional import need

# Audio up to _WHOLE seconds is computed at once, as everyone does; of longer audio, stretches of
# _CORE seconds with _CONTEXT seconds heard on either side. Part of what the features are.
_WHOLE, _CORE, _CONTEXT = 30, 20, 5

_PREPROCESSOR = "preprocessor_config.json"
_NEEDED = ("conv_stride", "conv_kernel", "hidden_size")


class TransformersFeatures(Features):
    """Hidden states of HuBERT, WavLM, wav2vec 2.0 and others built like them.

    These models look at, and many normalise over, all they are given, so what they are given is
    part of the definition: audio of up to 30 s is computed at once, longer audio in stretches of
    20 s with 5 s of context on either side, each normalised on its own where the model wants that.
    Nothing is ever padded to a neighbour's length. Half a window's overhang in zeros at both ends
    makes ceil(L / hop_length) frames, each centred on its own samples; without it these models
    give a frame fewer, 40 samples later.

    The layer is 3/4 of the depth unless named, 9 of 12 and 18 of 24: layer 9 of the BASE model is
    what HuBERT took its final units from. GSLM took layer 6.

    Source: Hsu et al. 2021 (HuBERT, arXiv:2106.07447), section IV-B; Lakhotia et al. 2021 (GSLM,
    arXiv:2102.01192), section 3.

    Args:
        path: folder with `config.json` and weights as safetensors. Nothing is downloaded, no
            pickle is read and no code from the folder is run.
        layer: 1 for the first transformer layer's output; 0 for what goes in; None: the default.
        device: where to compute.

    Raises:
        ConfigError: transformers is not installed, or there is no such layer.
        CheckpointError: no usable model of this kind is there.
    """

    def __init__(
        self, path: str | Path, layer: int | None = None, device: str | torch.device = "cpu"
    ) -> None:
        folder = Path(path)
        model = _load(folder)
        config = model.config
        depth = len(model.encoder.layers)
        self.layer = round(0.75 * depth) if layer is None else layer
        if not 0 <= self.layer <= depth:
            raise ConfigError(
                f"layer {layer} asked for; {folder} has layers 1 to {depth}, and 0 is their input"
            )
        # one layer more than needed: some models normalise the very last hidden state
        model.encoder.layers = model.encoder.layers[: self.layer + 1]
        self._model = model.eval().requires_grad_(requires_grad=False).to(device)
        self._device = torch.device(device)
        about = _preprocessor(folder)
        self.label = f"{config.model_type} layer {self.layer}"
        self.sample_rate = about.get("sampling_rate", 16000)
        if not isinstance(self.sample_rate, int) or not MIN_RATE <= self.sample_rate <= MAX_RATE:
            raise CheckpointError(
                f"{folder / _PREPROCESSOR} states a sampling_rate of {self.sample_rate!r}; "
                f"{MIN_RATE} to {MAX_RATE} Hz is accepted"
            )
        self.hop_length = prod(config.conv_stride)
        self._reach = _receptive_field(config.conv_kernel, config.conv_stride)
        self.dim = int(config.hidden_size)
        # the class's own default where there is a file, and what the two families were trained with
        default = bool(about) or getattr(config, "feat_extract_norm", "layer") == "layer"
        self._normalise = bool(about.get("do_normalize", default))

    def fingerprint(self) -> str:
        """Return the SHA-256 of weights, layer and everything that decides the values."""
        settings = [self.label, self.sample_rate, self.hop_length, self._normalise]
        settings += [_WHOLE, _CORE, _CONTEXT, self._model.config.to_diff_dict()]
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
        for name, value in sorted(self._model.state_dict().items()):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.contiguous().cpu().numpy().tobytes())
        return digest.hexdigest()

    @torch.no_grad()
    def blocks(self, blocks: Iterable[Float[Tensor, "1 1 _"]]) -> Iterator[Float[Tensor, "_ D"]]:
        """Yield the features of one waveform that arrives in blocks; holds half a minute of it."""
        whole, core, context = (
            s * self.sample_rate // self.hop_length for s in (_WHOLE, _CORE, _CONTEXT)
        )
        held, offset, start, samples = torch.empty(1, 1, 0), 0, 0, 0  # the middle two in frames

        def stretch(end: int, last: int) -> Float[Tensor, "_ D"]:
            """Return frames [start, end), having heard those from `start - context` to `last`."""
            first = max(0, start - context)
            lo, hi = ((n - offset) * self.hop_length for n in (first, last))
            return self._compute(held[0, 0, lo:hi], last - first)[start - first : end - first]

        for block in finite(blocks):
            held = torch.cat([held.to(block.device), block], dim=-1)
            samples += block.shape[-1]
            while samples > max(whole, start + core + context) * self.hop_length:
                yield stretch(start + core, start + core + context)
                start += core
                drop = max(0, start - context - offset)
                held, offset = held[..., drop * self.hop_length :], offset + drop
        frames = -(-samples // self.hop_length)
        size = core if frames > whole else frames
        while start < frames:
            yield stretch(min(start + size, frames), min(start + size + context, frames))
            start += size

    def _compute(self, x: Float[Tensor, "W"], frames: int) -> Float[Tensor, "V D"]:
        x = x.to(self._device, torch.float32)
        if self._normalise:  # as transformers' Wav2Vec2FeatureExtractor
            x = (x - x.mean()) / (x.var(correction=0) + 1e-7).sqrt()
        before = (self._reach - self.hop_length) // 2
        need = (frames - 1) * self.hop_length + self._reach
        x = F.pad(x, (before, need - before - len(x)))
        out = self._model(x.unsqueeze(0), output_hidden_states=True).hidden_states[self.layer][0]
        if len(out) != frames:
            raise CheckpointError(
                f"{self.label} gave {len(out)} frames for {frames} times {self.hop_length} "
                f"samples: a model with further strides, which is not accepted"
            )
        return out  # type: ignore[no-any-return]


def parse(source: str) -> tuple[Path, int | None]:
    """Split PATH[:LAYER] into folder and layer."""
    path, colon, layer = source.rpartition(":")
    if colon and layer.isdecimal() and not Path(source).expanduser().is_dir():
        return Path(path).expanduser(), int(layer)  # a shell expands no ~ behind `hf:`
    return Path(source).expanduser(), None


def _receptive_field(kernels: Iterable[int], strides: Iterable[int]) -> int:
    """Return how many samples a frame of the convolutions sees."""
    reach, step = 1, 1
    for kernel, stride in zip(kernels, strides, strict=True):
        reach, step = reach + (kernel - 1) * step, step * stride
    return reach


def _load(folder: Path) -> Any:
    """Return the model of a folder, with every weight found in it."""
    if not (folder / "config.json").is_file():
        raise CheckpointError(
            f"no transformers model at {folder}: a folder with config.json and model.safetensors "
            f"on this machine is accepted; nothing is downloaded"
        )
    if not list(folder.glob("*.safetensors")):
        raise CheckpointError(
            f"{folder} has no safetensors weights, and pickles such as pytorch_model.bin are not "
            f"read: if you trust it, convert it once with transformers' save_pretrained"
        )
    transformers = need("transformers", "features of a transformers model", "audiovq[hf]")
    try:
        model, found = transformers.AutoModel.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except Exception as error:  # noqa: BLE001  (whatever a stranger's folder provokes in there)
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(f"{folder} is no usable transformers model: {reason}") from None
    layers = getattr(getattr(model, "encoder", None), "layers", None)
    if layers is None or not all(hasattr(model.config, name) for name in _NEEDED):
        raise CheckpointError(
            f"{folder} holds a {model.config.model_type}; HuBERT, WavLM, wav2vec 2.0 and models "
            f"built like them are accepted"
        )
    # the vector that stands for masked frames in training; it is never used here
    missing = sorted(set(found["missing_keys"]) - {"masked_spec_embed"})
    if missing:
        raise CheckpointError(
            f"{folder} lacks {len(missing)} weights of its model, {missing[0]} among them: copy "
            f"it again"
        )
    return model


def _preprocessor(folder: Path) -> dict[str, Any]:
    """Return preprocessor_config.json; {} where there is none."""
    path = folder / _PREPROCESSOR
    if not path.is_file():
        return {}
    try:
        about = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError, OSError) as error:
        raise CheckpointError(f"{path} is not JSON: {error}") from None
    if not isinstance(about, dict):
        raise CheckpointError(f"{path} is not the settings of a feature extractor")
    return about
