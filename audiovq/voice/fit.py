"""A reference encoder fitted to a table of speakers that was trained without one, or with one."""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from audiovq import config as configs
from audiovq import release
from audiovq.autoencoder import Autoencoder, AutoencoderConfig
from audiovq.data.manifest import Manifest, Record
from audiovq.decoders._speaker_reference import ReferenceEncoder
from audiovq.errors import ConfigError
from audiovq.nn.conv import fold_weight_norm
from audiovq.train.speakers import condition_of

PIECE_SECONDS = 3.0  # of which a recording gives several, besides itself
_MOST_SECONDS = 16.0  # of a recording that are used
_RIDGE = 10.0  # of a few hundred pieces; 3 to 30 differ little


@torch.no_grad()
def fit_reference(
    model: Autoencoder, manifest: Manifest, *, split: str | None = "train", seed: int = 0
) -> Autoencoder:
    """Return the model with a reference encoder that gives the rows of its table.

    The encoder's last layer is set by ridge regression, from what the layers before it say of
    recordings of the table's speakers to these speakers' rows; a speaker of n pieces counts as the
    root of n.
    A model without an encoder gets one, whose other layers stay as they are drawn. Codes and
    voices of the table do not change.

    Args:
        model: one whose decoder is told who speaks.
        manifest: recordings of the speakers of its table.
        split: which of them; None: all.
        seed: of an encoder's first layers.

    Raises:
        ConfigError: the model takes no speakers, or fewer than two of them are in the corpus.
    """
    model.speaker_index([])  # refuses a model without speakers
    known = set(model.speakers)
    records = [r for r in manifest.select(split) if r.speaker in known]
    names = sorted({str(r.speaker) for r in records})
    if len(names) < 2:
        raise ConfigError(
            f"{manifest.path}: recordings of {len(names)} speakers of the model's table are in the "
            f"split {split!r}; two or more are needed, better many: give its training corpus"
        )
    fitted = _with_encoder(model, seed)
    encoder = fitted.decoder.reference
    assert isinstance(encoder, ReferenceEncoder)
    seen, speakers = _statistics(encoder, manifest, records, model.sample_rate)
    rows = condition_of(fitted, speakers)
    wanted = fitted.decoder.get_submodule("table")(rows)
    count = torch.tensor([speakers.count(s) for s in speakers])
    weight, bias = ridge(seen.double(), wanted.double(), count.double().rsqrt())
    encoder.last.weight.copy_(weight)
    encoder.last.bias.copy_(bias)
    return fitted.eval()


def ridge(
    x: Float[Tensor, "N D"], y: Float[Tensor, "N E"], weight: Float[Tensor, "N"]
) -> tuple[Float[Tensor, "E D"], Float[Tensor, "E"]]:
    """Return weight and bias of the linear map from x to y; each dimension of x is standardised.

    Args:
        x: what it is from.
        y: what it is to.
        weight: of each row.
    """
    mean, scale = x.mean(dim=0), x.std(dim=0).clamp_min(1e-3)
    z, centre = (x - mean) / scale, (weight.unsqueeze(1) * y).sum(dim=0) / weight.sum()
    weighted = z * weight.unsqueeze(1)
    penalty = _RIDGE * torch.eye(z.shape[1], dtype=z.dtype)
    found = torch.linalg.solve(weighted.T @ z + penalty, weighted.T @ (y - centre))
    found = found / scale.unsqueeze(1)
    return found.T, centre - mean @ found


def _with_encoder(model: Autoencoder, seed: int) -> Autoencoder:
    """Return a copy of the model, on the CPU, that has a reference encoder."""
    values = model.config.model_dump(mode="json")
    values["decoder"]["reference"] = values["decoder"].get("reference") or {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        copy = Autoencoder(configs.parse(AutoencoderConfig, values))
    fold_weight_norm(copy)
    missing, unexpected = copy.load_state_dict(release.plain_state(model), strict=False)
    assert not unexpected
    assert all(".reference." in name for name in missing)
    return copy.requires_grad_(requires_grad=False)


def _statistics(
    encoder: ReferenceEncoder, manifest: Manifest, records: Sequence[Record], sample_rate: int
) -> tuple[Float[Tensor, "N D"], list[str]]:
    """Return what the last layer is given of every piece, and who speaks in it."""
    seen, speakers = [], []
    for record in records:
        most = min(record.num_samples, round(_MOST_SECONDS * record.sample_rate))
        x = manifest.load(record, sample_rate, num_samples=most)
        for piece in _pieces(x, round(PIECE_SECONDS * sample_rate)):
            seen.append(encoder.statistics(piece))
            speakers.append(str(record.speaker))
    return torch.cat(seen), speakers


def _pieces(x: Float[Tensor, "1 1 L"], size: int) -> Iterator[Float[Tensor, "1 1 _"]]:
    yield x
    for part in torch.split(x, size, dim=-1):
        if part.shape[-1] == size < x.shape[-1]:
            yield part
