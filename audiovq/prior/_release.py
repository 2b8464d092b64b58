"""A prior as a folder that is safe to share, like a model: `model.safetensors`, `config.json`.

`config.json` also says which codes the prior is of, and how often each was in its training data.
"""

import hashlib
import json
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Int
from pydantic import Field
from torch import Tensor

from audiovq import config as configs
from audiovq import registry, release, weights
from audiovq.config import Config
from audiovq.errors import CheckpointError, ConfigError
from audiovq.prior._base import Prior
from audiovq.prior._part import Part, Size

FORMAT, VERSION = "audiovq.prior", 1
_MOST_FRAMES = 64  # of given codes in one of a prior
_MIGRATIONS: release.Migrations = {}

Count = Annotated[int, Field(ge=0, lt=1 << 53)]


class CodesOf(Config):
    """Which codes a prior is of."""

    model_hash: str = Field(max_length=200, description="fingerprint of what made the codes")
    coder: str = Field("", max_length=200, description="what that was, in a word or two")
    sample_rate: int = Field(ge=1, le=1 << 20, description="of the model (Hz)")
    hop_length: int = Field(ge=1, le=1 << 24, description="samples per frame")
    codebook_sizes: tuple[Size, ...] = Field(
        min_length=1, max_length=256, description="N of each row of codes"
    )

    @property
    def frame_rate(self) -> float:
        """Frames per second (Hz)."""
        return self.sample_rate / self.hop_length

    def frames_in(self, codes: "CodesOf") -> int:
        """Return how many of its frames are in one of other codes: 1 where it is no faster.

        Raises:
            ConfigError: it is faster, but not so many times.
        """
        a, b = self.sample_rate * codes.hop_length, codes.sample_rate * self.hop_length
        if a > b and (a % b or a // b > _MOST_FRAMES):
            raise ConfigError(
                f"codes of {self.frame_rate:g} Hz cannot be given to a prior of "
                f"{codes.frame_rate:g} Hz: its rate is accepted, a lower one, or 2 to "
                f"{_MOST_FRAMES} times as much"
            )
        return max(1, a // b)


class FeaturesOf(CodesOf):
    """Which vectors a prior is given: one for each code of the first row of some units."""

    vectors_sha256: str = Field(max_length=64, description="checksum of the vectors")
    width: int = Field(ge=1, le=1 << 16, description="values of each")


class About(Config):
    """What `config.json` holds."""

    format: Literal["audiovq.prior"] = "audiovq.prior"
    format_version: int = VERSION
    prior: configs.component("priors") = Field(description="the prior's settings")  # type: ignore[valid-type]
    codes: CodesOf = Field(description="of which codes")
    labels: tuple[str, ...] = Field((), max_length=10_000, description="names of labels 1, 2, ...")
    counts: tuple[tuple[Count, ...], ...] = Field(
        (), description="how often each code of each row was in the training data"
    )
    part: Part | None = Field(
        None, description="which of a model's codes it is of, and which it is given; null: all"
    )
    given_codes: CodesOf | None = Field(None, description="other codes that it is given")
    given_features: FeaturesOf | None = Field(None, description="vectors that it is given")

    @property
    def condition_codes(self) -> tuple[int, ...]:
        """Codebook sizes of all codes that are given."""
        rows = () if self.part is None else self.part.given_sizes
        other = self.given_codes
        return rows + (() if other is None else other.codebook_sizes * other.frames_in(self.codes))

    @property
    def condition_features(self) -> int:
        """Values per frame that are given."""
        other = self.given_features
        return 0 if other is None else other.width * other.frames_in(self.codes)


@dataclass(frozen=True)
class TrainedPrior:
    """A prior, and what it was trained on.

    Attributes:
        module: the prior itself.
        about: its settings, the codes it is of, its labels.
    """

    module: Prior
    about: About

    @staticmethod
    def build(about: About) -> "TrainedPrior":
        """Return an untrained one; its weights are drawn from torch's global generator."""
        cls: Any = registry.owner("priors", about.prior).cls
        module = cls(about.prior, about.codes.codebook_sizes, labels=len(about.labels))
        return TrainedPrior(module, about)

    def label_index(self, names: Sequence[str | None]) -> Int[Tensor, "B"]:
        """Return the label of each name; 0 for one that the prior does not know."""
        known = {name: i for i, name in enumerate(self.about.labels, 1)}
        return torch.tensor([0 if n is None else known.get(n, 0) for n in names])

    def unigram(self) -> list[Tensor]:
        """Return the probability of each code of each row by its count in the training data.

        Half a count is added to each, so that none is impossible (Krichevsky & Trofimov 1981).
        """
        return [
            (torch.tensor(row, dtype=torch.float64) + 0.5) / (sum(row) + 0.5 * len(row))
            for row in self.about.counts
        ]

    def fingerprint(self) -> str:
        """Return the SHA-256 of weights and config: equal if and only if the prior is."""
        about = json.dumps(self.about.model_dump(mode="json"), sort_keys=True)
        digest = hashlib.sha256(about.encode())
        for name, value in sorted(self.module.state_dict().items()):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def check(self, model_hash: str, codebook_sizes: Sequence[int], where: str) -> None:
        """Look whether codes are of the model that this prior's are of.

        Raises:
            CheckpointError: they are not.
        """
        mine, part = self.about.codes, self.about.part
        if (
            part is not None
            and mine.model_hash == model_hash
            and mine.codebook_sizes != (tuple(codebook_sizes))
        ):
            raise CheckpointError(
                f"{where} holds {len(codebook_sizes)} rows of codes, and the prior is of "
                f"{', '.join(part.names)} alone: use a prior of all of them"
            )
        if mine.model_hash != model_hash or tuple(codebook_sizes) != mine.codebook_sizes:
            raise CheckpointError(
                f"{where} holds codes of the model {model_hash[:12]} (codebooks "
                f"{tuple(codebook_sizes)}), and the prior is of {mine.model_hash[:12]} (codebooks "
                f"{mine.codebook_sizes}): use codes of that model, or train a prior on these"
            )

    def save(self, folder: str | Path, /, *, half: bool = False) -> None:
        """Write it as a folder, each file in one step.

        Args:
            folder: made if missing.
            half: round weights to float16; what is loaded is another prior, by fingerprint, too.

        Raises:
            CheckpointError: a weight is not finite, or too large for float16.
        """
        state = {k: v.clone() for k, v in self.module.state_dict().items()}
        release.write(state, self.about.model_dump(mode="json"), Path(folder), half=half)

    def save_pretrained(
        self,
        folder: str | Path,
        *,
        half: bool = False,
        evaluations: Sequence[str | Path] = (),
        run: str | Path | None = None,
    ) -> None:
        """Write it in the layout of the Hugging Face hub; see `Autoencoder.save_pretrained`."""
        from audiovq import pretrained  # noqa: PLC0415  (a circle)

        pretrained.save(self, folder, half=half, evaluations=evaluations, run=run)

    @staticmethod
    def from_pretrained(
        source: str | Path, *, revision: str | None = None, plugins: Collection[str] = ()
    ) -> "TrainedPrior":
        """Load a prior by folder, name or hub id; see `Autoencoder.from_pretrained`."""
        from audiovq import pretrained  # noqa: PLC0415  (a circle)

        return load(pretrained.find(source, revision), plugins)


def load(path: str | Path, plugins: Collection[str] = ()) -> TrainedPrior:
    """Load a prior for use.

    Args:
        path: a prior's folder, a run folder that holds one as `model/`, or the name of a prior that
            comes with audiovq (`audiovq.models()`). What is there as a path comes first.
        plugins: dotted names of plug-in priors you trust, if it is one.

    Returns:
        the prior in eval mode, on the CPU.

    Raises:
        CheckpointError: a file is missing, damaged, of another version, or does not fit.
    """
    folder = release.find(Path(path), "prior")
    where = folder / release.CONFIG
    values = release.read_config(where, FORMAT, VERSION, _MIGRATIONS)
    try:
        with registry.plugins(plugins):
            about = configs.parse(About, values, str(where))
            with torch.device("meta"):
                shell = TrainedPrior.build(about)
    except (ConfigError, RuntimeError, MemoryError, ValueError, TypeError) as error:
        raise CheckpointError(f"not a usable prior's config: {error}") from None
    try:
        _check_about(about, str(where))
    except ConfigError as error:
        raise CheckpointError(f"{where}: {error}") from None
    file = folder / release.WEIGHTS
    data = weights.read(file, shell.module)
    with torch.random.fork_rng(devices=[]):  # weights are drawn, and then those of the file taken
        trained = TrainedPrior.build(about)
    weights.fill(trained.module, data, file)
    trained.module.eval().requires_grad_(requires_grad=False)
    return trained


def about_codes(metadata: Any) -> CodesOf:
    """Return which codes a units folder holds."""
    names = ("model_hash", "coder", "sample_rate", "hop_length", "codebook_sizes")
    return CodesOf(**{name: getattr(metadata, name) for name in names})


def _check_about(about: About, where: str) -> None:
    lengths = tuple(len(row) for row in about.counts)
    if lengths and (lengths != about.codes.codebook_sizes or not math.prod(map(sum, about.counts))):
        raise CheckpointError(f"{where}: counts do not fit the codebooks")
    part = about.part
    if part is not None and not (part.fits() and part.modelled_sizes == about.codes.codebook_sizes):
        raise CheckpointError(f"{where}: part does not fit the codebooks")
    told = about.condition_codes, about.condition_features
    prior: Any = about.prior
    if (
        any(told)
        and hasattr(prior, "condition_codes")
        and told != (prior.condition_codes, prior.condition_features)
    ):
        raise CheckpointError(f"{where}: what the prior is given does not fit condition_codes")
