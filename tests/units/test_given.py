"""What a prior is told: brought to its rate, found by id, and refused where it is another."""

import dataclasses
import random

import numpy as np
import pytest
import torch

from audiovq import registry
from audiovq.config import parse
from audiovq.errors import CheckpointError, ConfigError, ManifestError
from audiovq.files import sha256
from audiovq.prior._part import choose
from audiovq.prior._release import About, TrainedPrior, about_codes
from audiovq.units import load
from audiovq.units.given import (
    Folders,
    about_features,
    align,
    check_for,
    condition_of,
    given_of,
    open_folders,
    read,
    read_for,
)  # fmt: skip
from audiovq.units.metadata import VECTORS
from tests.units.made import made_units, metadata, record, write

IDS = [f"u{i}" for i in range(8)]
NONE, LAYOUT = Folders(), ("slow", "fast 0", "fast 1")


def units(folder, sizes=(5, 7, 7), seed=0, *, hop=100, model="0", layout=None, vectors=0):
    """A folder of codes at 1,000 Hz / hop, of utterances of equal lengths whatever the codes."""
    rng, records = random.Random(seed), []
    for i, r in enumerate(made_units(random.Random(1), (2,), ids=IDS)):
        samples = 200 + 37 * i
        frames = -(-samples // hop)
        rows = [[rng.randrange(n) for _ in range(frames)] for n in sizes]
        made = record(r.id, rows, speaker=r.speaker, split=r.split)
        records.append(dataclasses.replace(made, num_samples=samples))
    about = metadata(sizes).model_copy(update={"hop_length": hop, "model_hash": model * 64})
    if layout:
        about = about.model_copy(update={"layout": layout})
    folder.mkdir()
    if vectors:
        table = np.arange(sizes[0] * vectors, dtype=np.float32).reshape(sizes[0], vectors)
        np.save(folder / VECTORS, table)
        about = about.model_copy(update={"vectors_sha256": sha256(folder / VECTORS)})
    return load(write(folder, records, about))


def about(mine, part=None, folders=NONE, name="wavenet"):
    m = read(mine, "train", part).metadata
    codes, features = folders.codes, folders.features
    plain = About(
        prior=parse(registry.get("priors", name).config, {"name": name}), codes=about_codes(m),
        part=part,
        given_codes=None if codes is None else about_codes(codes.metadata),
        given_features=None if features is None else about_features(features),
    )  # fmt: skip
    told = {
        "condition_codes": plain.condition_codes, "condition_features": plain.condition_features,
    }  # fmt: skip
    return plain.model_copy(update={"prior": plain.prior.model_copy(update=told)})


def naive(values, frames, hop, other_hop):
    """What is there while each frame lasts: at its start, or all that starts within it."""
    many = max(1, hop // other_hop)
    last = values.shape[1] - 1
    columns = []
    for t in range(frames):
        places = [min(t * hop // other_hop + j, last) for j in range(many)]
        columns.append(torch.cat([values[:, p] for p in places]))
    return torch.stack(columns, dim=1)


@pytest.mark.parametrize("other", [100, 50, 25, 200, 300, 150])
def test_rates_are_brought_together(other):
    mine = about_codes(metadata((3,)))
    theirs = mine.model_copy(update={"hop_length": other})
    for frames in (1, 4, 7):
        values = torch.arange(2 * -(-frames * 100 // other)).view(2, -1)
        expected = naive(values, frames, 100, other)
        assert torch.equal(align(values, frames, mine, theirs), expected)
    with pytest.raises(ConfigError, match="cannot be given to a prior of 10 Hz"):
        align(values, 4, mine, mine.model_copy(update={"hop_length": 40}))


def test_a_stream_is_read_at_its_own_rate_with_what_it_is_given(tmp_path):
    whole = units(tmp_path / "u", layout=LAYOUT)
    part = choose(LAYOUT, (5, 7, 7), ["fast"], ["slow"])
    found = read(whole, "train", part)
    m = found.metadata
    assert (m.hop_length, m.codebook_sizes, m.layout) == (50, (7,), ("fast",))
    for i, name in enumerate(found.ids):
        codes = whole[name].codes
        assert found.codes[i][0].tolist() == codes[1:].T.flatten().tolist()
        assert found.given.codes[i][1].tolist() == codes[0].repeat_interleave(2).tolist()
    np.testing.assert_allclose(found.seconds, read(whole, "train").seconds)
    assert (
        found.fingerprint()
        != read(whole, "train", choose(LAYOUT, m.codebook_sizes * 3, ["fast"], [])).fingerprint()
    )


def test_other_codes_and_vectors_come_by_id(tmp_path):
    mine, other = units(tmp_path / "u", (5,)), units(tmp_path / "o", (4, 3), 1, hop=50, vectors=6)
    folders = Folders(codes=other, features=other)
    found = read(mine, "train", None, folders)
    told = about(mine, None, folders)
    assert (told.condition_codes, told.condition_features) == ((4, 3, 4, 3), 12)
    table = other.vectors()
    trained = TrainedPrior.build(told)
    condition = condition_of(trained, found, [0, 3])
    assert condition.codes.shape[1:] == (4, found.frames[3])
    for item, i in enumerate((0, 3)):
        theirs, frames = other[found.ids[i]].codes, found.frames[i]
        expected = naive(theirs, frames, 100, 50)
        assert torch.equal(condition.codes[item, :, :frames], expected)
        vectors = torch.cat([table[expected[0]], table[expected[2]]], dim=1).T
        torch.testing.assert_close(condition.features[item, :, :frames], vectors)
    one = given_of(told, folders, found.ids[3])
    assert torch.equal(one.codes, condition.codes[1:])
    torch.testing.assert_close(one.features, condition.features[1:])
    few = found.spread(2)
    assert torch.equal(few.given.codes[0], found.given.codes[0])
    assert few.fingerprint() != read(mine, "train").spread(2).fingerprint()


def test_what_is_not_what_the_prior_knows_is_refused(tmp_path):
    mine, other = units(tmp_path / "u", (5,)), units(tmp_path / "o", (4,), vectors=2, model="1")
    folders = Folders(codes=other)
    told = about(mine, None, folders)
    assert len(read_for(told, mine, None, folders)) == len(IDS)
    with pytest.raises(ConfigError, match="given units of the model 1111.* --given-codes DIR"):
        check_for(told, mine)
    with pytest.raises(ConfigError, match="not given what .* holds: leave it out"):
        check_for(told, mine, Folders(codes=other, features=other))
    third = units(tmp_path / "t", (4,), model="2")
    with pytest.raises(CheckpointError, match="2222.* is given those of 1111.*another model"):
        check_for(told, mine, Folders(codes=third))
    with pytest.raises(CheckpointError, match="this prior is of 0000"):
        check_for(told, third, folders)
    with pytest.raises(ManifestError, match="no utterance 'nobody'"):
        given_of(told, folders, "nobody")
    vectors = about(mine, None, Folders(features=other))
    wider = units(tmp_path / "w", (4,), vectors=3, model="1")
    with pytest.raises(CheckpointError, match="vectors_sha256"):
        check_for(vectors, mine, Folders(features=wider))
    with pytest.raises(ConfigError, match="holds no vectors"):
        open_folders("", str(tmp_path / "t"))


def test_another_corpus_is_refused(tmp_path):
    mine = units(tmp_path / "u", (5,))
    records = list(mine)
    short = load(write(tmp_path / "s", records[:-1], metadata((5,))))
    with pytest.raises(ManifestError, match="has no utterance 'u7'"):
        read(mine, None, None, Folders(codes=short))
    longer = [dataclasses.replace(r, num_samples=r.num_samples - 9) for r in records]
    other = load(write(tmp_path / "l", longer, metadata((5,))))
    with pytest.raises(ManifestError, match="it is not the same recording"):
        read(mine, None, None, Folders(codes=other))
