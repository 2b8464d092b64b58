"""AdamW with warm-up, decay and gradient clipping; a step that is not finite is no step."""

import math
from collections.abc import Iterable
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from audiovq.config import Config

Share = Annotated[float, Field(ge=0, lt=1)]


class OptimConfig(Config):
    """Settings of the optimizer. The schedule states its own steps, so training may go on."""

    lr: float = Field(2e-3, gt=0, description="learning rate after warm-up")
    betas: tuple[Share, Share] = Field((0.8, 0.99), description="AdamW's averaging constants")
    weight_decay: float = Field(1e-3, ge=0, description="AdamW's decay of matrices")
    warmup_steps: int = Field(100, ge=0, description="steps of linear warm-up from 0")
    schedule: Literal["cosine", "linear", "inverse_sqrt"] = Field(
        "cosine", description="form of the decay; inverse_sqrt: lr / sqrt(1 + step / decay_steps)"
    )
    decay_steps: int = Field(
        0, ge=0, description="step at which the decay has reached its end; 0: constant rate"
    )
    final_share: float = Field(0.05, ge=0, le=1, description="share of lr that is always left")
    clip_norm: float = Field(5.0, gt=0, description="largest norm of the whole gradient")


def learning_rate(config: OptimConfig, step: int) -> float:
    """Return the rate of a step, counted from 0: a pure function, so there is no state to save."""
    warm = min(1.0, (step + 1) / config.warmup_steps) if config.warmup_steps else 1.0
    if config.decay_steps == 0:
        return config.lr * warm
    at = step / config.decay_steps
    forms = {
        "cosine": (1 + math.cos(math.pi * min(1.0, at))) / 2,
        "linear": 1.0 - min(1.0, at),
        "inverse_sqrt": 1.0 / math.sqrt(1.0 + at),
    }
    left = forms[config.schedule]
    return config.lr * warm * (config.final_share + (1.0 - config.final_share) * left)


class Optimizer:
    """AdamW whose step takes a flag: where it is false nothing changes, without asking the host.

    Biases, gains and other vectors do not decay.
    """

    def __init__(self, modules: Iterable[nn.Module], config: OptimConfig) -> None:
        self.config = config
        self.parameters = [p for m in modules for p in m.parameters() if p.requires_grad]
        matrices = [p for p in self.parameters if p.ndim > 1 and p.numel() > max(p.shape)]
        chosen = {id(p) for p in matrices}
        groups = [
            {"params": matrices, "weight_decay": config.weight_decay},
            {
                "params": [p for p in self.parameters if id(p) not in chosen],
                "weight_decay": 0.0,
            },
        ]
        groups = [g for g in groups if g["params"]]
        # Fused: the one implementation that honours `found_inf`, on CPU and CUDA alike.
        self.adamw = torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, fused=True)

    def zero_grad(self) -> None:
        """Forget all gradients."""
        self.adamw.zero_grad(set_to_none=True)

    def clip(self) -> Float[Tensor, ""]:
        """Scale the gradient to at most `clip_norm`; returns its norm before that."""
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        # Scaled by a norm that is not finite, every gradient would be NaN, and nobody could say
        # which one it came from.
        scale = norm.nan_to_num(nan=0.0, posinf=0.0)
        nn.utils.clip_grads_with_norm_(self.parameters, self.config.clip_norm, scale)
        return norm

    def step(self, step: int, ok: Bool[Tensor, ""]) -> None:
        """Update the parameters at the rate of this step, unless `ok` is false."""
        for group in self.adamw.param_groups:
            group["lr"] = learning_rate(self.config, step)
        self.adamw.found_inf = (~ok).float()  # type: ignore[attr-defined]
        self.adamw.step()

    def state_dict(self) -> dict[str, Any]:
        """Return AdamW's state."""
        return self.adamw.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore AdamW's state."""
        self.adamw.load_state_dict(state)
