"""A card beside a model: all sections, figures of these weights alone, nothing replaced unasked."""

import pytest
import yaml

import audiovq
from audiovq.cards import front
from audiovq.cards.write import read_words, write
from audiovq.errors import CheckpointError, ConfigError
from tests import boxes
from tests.helpers import small_model


@pytest.fixture
def folder(tmp_path):
    small_model().save(tmp_path / "mine", half=True)
    return tmp_path / "mine"


def test_all_sections(folder, tmp_path):
    (tmp_path / "e.json").write_text(boxes.evaluation(audiovq.load(folder)))
    path = write(folder, words=boxes.WORDS, evaluations=[tmp_path / "e.json"])
    text = path.read_text("utf-8")
    values = front.parse(path)
    assert values["license"] == "cc-by-4.0"
    assert values["datasets"] == ["librispeech_asr"]
    assert {"audio", "speech", "tiny"} <= set(values["tags"])
    (result,) = values["model-index"][0]["results"]
    assert result["dataset"]["split"] == "test"
    assert result["metrics"] == [
        {"type": "log_mel_distance", "name": "log-mel distance", "value": 5.25}
    ]
    assert "| stored as | float16, computed in float32 |" in text
    assert "audiovq evaluate mine MANIFEST --split test" in text
    assert "- It knows nothing." in text
    assert "A tiny model.\n" in text
    for line in text.splitlines():
        assert not line.startswith("|") or line.endswith("|")


def test_a_card_is_replaced_only_when_asked(folder):
    write(folder, name="first")
    with pytest.raises(ConfigError, match=r"README\.md exists already; add --force"):
        write(folder, name="second")
    write(folder, name="second", force=True)
    assert front.read(folder).audiovq.name == "second"


def test_figures_of_other_weights_are_refused_and_nothing_is_written(folder, tmp_path):
    (tmp_path / "e.json").write_text(boxes.evaluation(small_model()))  # before rounding
    with pytest.raises(ConfigError, match="is of the model .* and not of mine"):
        write(folder, evaluations=[tmp_path / "e.json"])
    assert not (folder / "README.md").exists()


def test_of_a_prior(tmp_path):
    boxes.tiny_prior(small_model()).save(tmp_path / "p")
    text = write(tmp_path / "p", of="the-model").read_text("utf-8")
    assert "audiovq sample p the-model" in text
    assert front.read(tmp_path / "p").audiovq.model_hash == small_model().fingerprint()


def test_words_of_a_file_and_of_a_config(tmp_path):
    values = boxes.WORDS.model_dump(mode="json")
    (tmp_path / "w.yaml").write_text(yaml.safe_dump(values))
    assert read_words(tmp_path / "w.yaml") == boxes.WORDS
    (tmp_path / "w.yaml").write_text(yaml.safe_dump({"recipe": "ship", "card": values}))
    assert read_words(tmp_path / "w.yaml") == boxes.WORDS
    (tmp_path / "w.yaml").write_text("licence: mit\n")
    with pytest.raises(ConfigError, match="licence: unknown key; did you mean 'license'"):
        read_words(tmp_path / "w.yaml")


def test_nothing_there(tmp_path):
    with pytest.raises(CheckpointError, match="no model at"):
        write(tmp_path)
