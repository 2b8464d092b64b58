import pytest

from audiovq.errors import ConfigError
from audiovq.stress.conditions import ALL, Loss, Sound, choose, doable


def names(*words):
    return [c.name for c in choose(words)]


def test_words_are_names_or_their_beginnings():
    assert names("white") == ["white-20", "white-10", "white-5", "white-0"]
    assert names("bits-1e-3", "gain+12") == ["gain+12", "bits-1e-3"]  # in the order of ALL
    assert names("clip-1") == ["clip-1"]  # and not clip-10
    assert len(names("loss-40ms")) == 4 * 2 * 4
    assert names("all") == list(ALL)
    assert names("all", "white") == list(ALL)
    standard = names()
    assert set(standard) < set(ALL)
    assert all(isinstance(ALL[n], Loss) for n in ALL if n not in standard)


def test_unknown_words_list_what_is_known():
    with pytest.raises(
        ConfigError, match="no condition 'wite'; known: all, white, pink, .* 'white'"
    ):
        choose(["wite"])
    with pytest.raises(ConfigError, match="did you mean 'loss-40ms-10-bursty-repeat'"):
        choose(["loss-40ms-10-bursty-repeats"])
    with pytest.raises(ConfigError, match="no condition 'whit'"):
        choose(["whit"])


def test_what_a_model_does_not_allow_is_left_out_and_said():
    conditions = choose([])
    every, notes = doable(conditions, discrete=True, prior=True)
    assert (every, notes) == (conditions, [])
    found, notes = doable(conditions, discrete=True, prior=False)
    assert not any(c.needs_prior for c in found)
    out = len(conditions) - len(found)
    assert len(notes) == 1
    assert notes[0].startswith(f"{out} conditions that take a prior of the model's codes left out")
    found, notes = doable(conditions, discrete=False, prior=False)
    assert all(isinstance(c, Sound) for c in found)
    assert len(notes) == 1
