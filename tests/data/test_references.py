import pytest
import torch

from audiovq import audio
from audiovq.data import manifest as manifests
from audiovq.data.loader import DataConfig, Loader
from audiovq.data.manifest import Record
from audiovq.data.references import References
from tests.helpers import noise


@pytest.fixture
def corpus(tmp_path):
    """Two recordings of ann (each at a level of its own), one of bob, one of nobody known."""
    records = []
    for i, (who, length) in enumerate([("ann", 900), ("ann", 500), ("bob", 700), (None, 300)]):
        x = noise(1, length, seed=i).sign() * 0.1 * (i + 1)
        audio.save(tmp_path / f"{i}.wav", x, 16000)
        records.append(
            Record(
                id=str(i),
                path=f"{i}.wav",
                sample_rate=16000,
                num_samples=length,
                speaker=who,
                split="train",
            )
        )
    manifests.write(tmp_path / "m.jsonl", ".", records)
    return manifests.read(tmp_path / "m.jsonl")


def level(x):
    return round(float(x.abs().max()), 1)


def test_it_is_another_recording_of_the_speaker_or_the_same_where_there_is_none(corpus):
    found = References(corpus, corpus.records, 400, 16000)
    for record, expected in zip(corpus.records, (0.2, 0.1, 0.3, 0.4), strict=True):
        for key in range(5):
            x = found.load(record, key)
            assert x.shape == (1, 1, 400)
            assert level(x) == expected
    assert torch.equal(found.load(corpus.records[3], 0)[..., 300:], torch.zeros(1, 1, 100))


def test_it_is_a_function_of_the_key(corpus):
    found = References(corpus, corpus.records, 100, 16000)
    several = [found.load(corpus.records[1], key) for key in range(6)]
    assert torch.equal(several[0], found.load(corpus.records[1], 0))
    assert any(not torch.equal(several[0], x) for x in several[1:])


def test_batches_carry_references_only_where_they_are_asked_for(corpus):
    config = DataConfig(batch_size=4, segment_seconds=0.02, workers=0, references=True)
    batch = next(Loader(corpus, corpus.records, config, 16000, 0).batches(0))
    assert batch.reference.shape == batch.x.shape
    partner = {"0": 0.2, "1": 0.1, "2": 0.3, "3": 0.4}
    assert [level(x) for x in batch.reference] == [partner[i] for i in batch.ids]
    halves = batch.split(2)
    assert torch.equal(torch.cat([h.reference for h in halves]), batch.reference)
    assert torch.equal(batch.repeated(2).reference[::2], batch.reference)
    plain = config.model_copy(update={"references": False})
    assert next(Loader(corpus, corpus.records, plain, 16000, 0).batches(0)).reference is None
