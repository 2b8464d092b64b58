"""A prior's folder: what was saved comes back; from a stranger, one clear error."""

import json
import pickle
import random
import shutil

import pytest
import safetensors.torch
import torch

from audiovq import prior as priors
from audiovq import registry
from audiovq.config import parse
from audiovq.errors import CheckpointError
from audiovq.prior._release import About, TrainedPrior, about_codes
from tests.units.made import made_units

SIZES = (6, 4)
PLUGIN = "tests.prior.counted"


def made(name="wavenet", *, labels=("ann", "ben"), seed=0):
    """A tiny untrained prior; one that counts has counted."""
    units = made_units(random.Random(seed), SIZES)
    with registry.plugins([PLUGIN]), torch.random.fork_rng():
        torch.manual_seed(seed)
        values = {"prior": {"name": name}, "labels": labels, "counts": [[1] * n for n in SIZES]}
        about = parse(About, {**values, "codes": about_codes(units.metadata).model_dump()})
        trained = TrainedPrior.build(about)
    if hasattr(trained.module, "fit"):
        trained.module.fit([(r.codes, 0) for r in units])
    trained.module.eval()
    return trained


def part(**changes):
    """What an honest config says of both rows, with changes."""
    return {"codebook_sizes": SIZES, "names": ["a", "b"], "rows": [0, 1]} | changes


@pytest.fixture
def folder(tmp_path):
    made().save(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("name", [*registry.names("priors"), PLUGIN])
def test_every_prior_comes_back_as_it_was_and_leaves_the_generator_alone(name, tmp_path):
    trained = made(name)
    trained.save(tmp_path / "run" / "model")
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    again = priors.load(tmp_path / "run", plugins=[PLUGIN])
    assert torch.equal(torch.random.get_rng_state(), before)
    assert again.about == trained.about
    assert again.fingerprint() == trained.fingerprint()
    assert not again.module.training
    codes = torch.randint(4, (2, 2, 7))
    assert torch.equal(again.module.log_prob(codes), trained.module.log_prob(codes))


def test_fingerprints_differ_where_weights_or_codes_do():
    assert made().fingerprint() != made(seed=1).fingerprint()
    assert made().fingerprint() != made(labels=("ann",)).fingerprint()
    assert made().fingerprint() == made().fingerprint()


def test_labels_by_name():
    assert made().label_index(["ben", None, "ann", "zoe"]).tolist() == [2, 0, 1, 0]


def test_codes_of_another_model_are_refused():
    trained = made()
    trained.check("0" * 64, SIZES, "units")
    with pytest.raises(
        CheckpointError, match=r"units holds codes of the model 111111111111 .* 000"
    ):
        trained.check("1" * 64, SIZES, "units")
    with pytest.raises(CheckpointError, match=r"codebooks \(6, 5\)"):
        trained.check("0" * 64, (6, 5), "units")


def test_a_prior_of_a_part_comes_back_and_refuses_the_whole(tmp_path):
    whole = made().about.model_dump(mode="json")
    codes = {**whole["codes"], "codebook_sizes": [4]}
    prior = {**whole["prior"], "condition_codes": [6]}
    values = {**whole, "codes": codes, "prior": prior, "counts": [[1] * 4]}
    values["part"] = part(names=["b"], rows=[1], given=[0])
    with torch.random.fork_rng():
        trained = TrainedPrior.build(parse(About, values))
    trained.save(tmp_path)
    again = priors.load(tmp_path)
    assert again.about == trained.about
    assert again.about.condition_codes == (6,)
    again.check("0" * 64, (4,), "units")
    with pytest.raises(CheckpointError, match="holds 2 rows of codes, and the prior is of b alone"):
        again.check("0" * 64, SIZES, "units")


def test_a_plugin_is_loaded_only_if_the_user_names_it(tmp_path):
    made(PLUGIN).save(tmp_path)
    with pytest.raises(CheckpointError, match="if you trust it"):
        priors.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.update(format="audiovq.model"), "not the config of an audiovq prior"),
        (lambda a: a.update(format_version=9), "format_version 9"),
        (lambda a: a["prior"].update(name="os.path"), "if you trust it"),
        (lambda a: a["prior"].update(_target_="os.system"), "unknown key"),
        (lambda a: a["prior"].update(channels=10**9), "channels"),
        (lambda a: a["prior"].update(channels=8), "bytes where its config"),
        (lambda a: a["prior"].update(channels=4096, skip_channels=4096), "bytes where its config"),
        (lambda a: a["codes"].update(codebook_sizes=[6, 5]), "bytes where|do not fit"),
        (lambda a: a["codes"].update(codebook_sizes=[1 << 20] * 256), "do not fit|weights"),
        (lambda a: a["codes"].update(codebook_sizes=[]), "codebook_sizes"),
        (lambda a: a["codes"].update(codebook_sizes=[0, 4]), "codebook_sizes"),
        (lambda a: a["codes"].update(hop_length=0), "hop_length"),
        (lambda a: a.update(counts=[[1], [2]]), "counts do not fit"),
        (lambda a: a.update(counts=[[0] * 6, [-1] * 4]), "counts"),
        (lambda a: a.update(labels=["x"] * 20_000), "labels"),
        (lambda a: a.update(labels=["x"] * 5), "bytes where its config"),
        (lambda a: a.pop("codes"), "codes"),
        (lambda a: a.update(part=part(rows=[0, 9])), "part does not fit the codebooks"),
        (lambda a: a.update(part=part(rows=[0])), "part does not fit the codebooks"),
        (lambda a: a.update(part=part(given=[0])), "part does not fit the codebooks"),
        (lambda a: a.update(part=part(ratio=2)), "part does not fit the codebooks"),
        (lambda a: a.update(part=part(names=["x" * 201])), "names"),
        (lambda a: a.update(part=part(codebook_sizes=[6, 4, 3], given=[2])), "condition_codes"),
        (lambda a: a.update(given_codes=a["codes"]), "does not fit condition_codes"),
        (
            lambda a: a.update(given_codes={**a["codes"], "sample_rate": 1 << 20, "hop_length": 1}),
            "cannot be given to a prior of 10 Hz",
        ),
    ],
)
def test_a_config_that_lies(folder, change, message):
    about = json.loads((folder / "config.json").read_text())
    change(about)
    (folder / "config.json").write_text(json.dumps(about))
    with pytest.raises(CheckpointError, match=message):
        priors.load(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_pickle_in_disguise_is_never_run(folder, tmp_path, name):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "canary"), "w"))

    (folder / name).write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(CheckpointError):
        priors.load(folder)
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_cut_off_weights(folder, keep):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        priors.load(folder)


def test_a_flipped_bit_is_noticed(folder):
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1000] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"checksum differs|NaN"):
        priors.load(folder)


@pytest.mark.parametrize("shape", [(2, 3), ()])
def test_what_is_counted_has_one_axis(tmp_path, shape):
    made(PLUGIN).save(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(safetensors.torch.save({"seen": torch.zeros(shape, dtype=torch.int64)}))
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        priors.load(tmp_path, plugins=[PLUGIN])


def test_a_model_is_no_prior_and_nothing_is_nothing(folder, tmp_path):
    from tests.helpers import small_model

    small_model().save(tmp_path / "vq")
    with pytest.raises(CheckpointError, match="not the config of an audiovq prior"):
        priors.load(tmp_path / "vq")
    with pytest.raises(CheckpointError, match="no prior at"):
        priors.load(tmp_path / "none")
    import audiovq

    with pytest.raises(CheckpointError, match="not the config of an audiovq model"):
        audiovq.load(folder)
    shutil.rmtree(folder)
