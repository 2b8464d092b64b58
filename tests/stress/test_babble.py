import pytest
import torch

from audiovq.errors import AudioError
from audiovq.stress.babble import TALKERS, Babble
from tests.stress.made import RATE, corpus


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("babble")
    return corpus(folder, speakers=[*"abcdefghij", *"abc"], seconds=0.1)


def test_never_the_same_speaker_and_each_once(manifest):
    babble = Babble(manifest)
    for record in manifest.records:
        for seed in range(5):
            speakers = [r.speaker for r in babble.talkers(record, seed)]
            assert record.speaker not in speakers
            assert len(set(speakers)) == len(speakers) == TALKERS


def test_is_a_sum_of_equally_loud_talkers_and_a_function_of_seed_and_recording(manifest):
    babble, record = Babble(manifest), manifest.records[0]
    x = babble(record, RATE, 5000, seed=0)  # longer than each recording
    assert x.shape == (5000,)
    assert torch.equal(x, babble(record, RATE, 5000, seed=0))
    assert not torch.equal(x, babble(record, RATE, 5000, seed=1))
    assert not torch.equal(x, babble(manifest.records[10], RATE, 5000, seed=0))
    assert float(x.square().mean()) == pytest.approx(TALKERS, rel=0.3)
    assert babble(record, 8000, 800, seed=0).shape == (800,)


def test_without_others_it_is_said(tmp_path):
    two = corpus(tmp_path, speakers=("a", "b"))
    with pytest.raises(AudioError, match="2 other speakers or more; the manifest has 1"):
        Babble(two).talkers(two.records[0], 0)
    unknown = two.records[0].model_copy(update={"speaker": None})
    with pytest.raises(AudioError, match="does not say who speaks"):
        Babble(two).talkers(unknown, 0)
