"""What several tests build: small models that run in milliseconds."""

import torch
from torch import Tensor

from audiovq.autoencoder import Autoencoder, AutoencoderConfig
from audiovq.config import parse

SMALL = {
    "sample_rate": 16000,
    "encoder": {"name": "conv", "strides": [2, 5], "channels": 4, "dilations": [1, 3]},
    "decoder": {"name": "conv", "channels": 4, "dilations": [1]},
}


def every_weight_matters(module: torch.nn.Module) -> torch.nn.Module:
    """Draw, in place, what starts at 0 (biases, modulations), where masks would not matter."""
    with torch.no_grad():
        for parameter in module.parameters():
            if not parameter.any():
                parameter.normal_(std=0.3)
    return module


def small_config(bottleneck: dict | str = "vq_ema", *, causal: bool = False) -> AutoencoderConfig:
    """A model config with a hop of 10 samples."""
    if bottleneck == "vq_ema":
        bottleneck = {"name": "vq_ema", "dim": 6, "codebook_size": 16}
    elif bottleneck == "identity":
        bottleneck = {"name": "identity", "dim": 6}
    values = {
        **SMALL,
        "encoder": {**SMALL["encoder"], "causal": causal},
        "decoder": {**SMALL["decoder"], "causal": causal},
        "bottleneck": bottleneck,
    }
    return parse(AutoencoderConfig, values)


def small_model(
    bottleneck: dict | str = "vq_ema", *, seed: int = 0, causal: bool = False
) -> Autoencoder:
    """A small untrained model in eval mode, biases included, that uses most of its codes."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Autoencoder(small_config(bottleneck, causal=causal)).eval()
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):  # default biases are small; masks must matter
                torch.nn.init.uniform_(parameter, -0.5, 0.5)
        if model.is_discrete:
            model.bottleneck.initialise(model.encoder(noise(4, 2000, seed=1)))
    return model


def voices_model(
    bottleneck: dict | str = "vq_ema", *, causal: bool = False, reference: bool = False
) -> Autoencoder:
    """A small untrained model that knows three speakers, who differ, and may hear others."""
    values = small_config(bottleneck, causal=causal).model_dump()
    decoder = {"name": "conv_speaker", "speakers": ["ann", "bob", "cem"], "speaker_dim": 3}
    if reference:
        decoder["reference"] = {"channels": 8}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = {**values, "decoder": {**decoder, "conv": values["decoder"]}}
        model = Autoencoder(parse(AutoencoderConfig, config)).eval()
        for film in model.decoder.films:
            torch.nn.init.normal_(film.project.weight, std=0.5)
        if model.is_discrete:
            model.bottleneck.initialise(model.encoder(noise(4, 2000, seed=1)))
    return model


def noise(items: int, length: int, *, seed: int = 0, scale: float = 0.3) -> Tensor:
    """Waveforms (items, 1, length) of noise with a slow envelope."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(items, 1, length, generator=generator) * scale
    slow = torch.sin(torch.arange(length) / 37.0) ** 2
    return (x * slow).clamp(-1, 1)
