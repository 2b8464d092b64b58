"""What all recordings are held against: a model, a prior of its codes, and what scores."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from audiovq.autoencoder import Autoencoder
from audiovq.coding._base import CodeCoder
from audiovq.coding.prior_codes import PriorCodes
from audiovq.errors import ConfigError
from audiovq.eval.pool import Pool
from audiovq.prior import TrainedPrior
from audiovq.stress import conceal

Wave = Float[Tensor, "1 1 _"]

MEASURES = ("log_mel_distance", "stoi")  # of `eval.reconstruction`


@dataclass(frozen=True)
class Bench:
    """What all recordings are held against.

    Attributes:
        model: any autoencoder, in eval mode.
        prior: of its codes; None: none.
        pool: what scores, by some of `MEASURES`.
        seed: of all draws, with a recording's id.
    """

    model: Autoencoder
    prior: TrainedPrior | None
    pool: Pool
    seed: int

    @cached_property
    def quiet(self) -> Int[Tensor, "K"]:
        """The codes of silence."""
        return conceal.silence(self.model)

    @cached_property
    def coder(self) -> CodeCoder:
        """What writes codes with the prior."""
        assert self.prior is not None
        return PriorCodes(self.prior)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    def encode(self, x: Wave) -> Int[Tensor, "K _"] | None:
        """Return the codes of a waveform, on the CPU; None of a continuous model."""
        if not self.model.is_discrete:
            return None
        return self.model.encode(x.to(self.device), exact=True)[0].cpu()

    def decode(self, codes: Int[Tensor, "K _"], length: int) -> Wave:
        """Return the waveform of codes, on the CPU."""
        return self.model.decode(codes.unsqueeze(0).to(self.device), length).cpu()

    def reconstruct(self, x: Wave) -> Wave:
        """Return a waveform passed through a continuous model."""
        return self.model.reconstruct(x.to(self.device)).cpu()


def check_prior(model: Autoencoder, prior: TrainedPrior) -> None:
    """Look whether a prior can say what to expect of all of a model's codes.

    Raises:
        CheckpointError: it is of another model's codes.
        ConfigError: it is of some rows only, or wants to be told other codes or features.
    """
    if not model.is_discrete:
        raise ConfigError("a prior is given, and the model is continuous and has no codes")
    prior.check(model.fingerprint(), model.codebook_sizes, "the model")
    about = prior.about
    if about.part is not None or about.condition_codes or about.condition_features:
        raise ConfigError(
            "concealment takes a prior of all rows of the codes that is told nothing beside them; "
            "this one is of some rows, or is given other codes or features"
        )
