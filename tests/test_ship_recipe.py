"""From a manifest to a folder fit for the box, in one command; and a prior of it in another."""

import json

import pytest

import audiovq
from audiovq import config as configs
from audiovq import prior as priors
from audiovq import share, shipped
from audiovq.cards import front
from audiovq.errors import ConfigError
from audiovq.eval.evaluate import evaluate
from tests import boxes
from tests.test_recipes import TINY
from tests.test_recipes import speech as speech  # noqa: PLC0414  (a fixture)

RECIPE = share.load_recipe("ship")
STEPS = ["train.max_steps=4", "train.validate_every=2", "log.every=2"]
MODEL = [*TINY, "model.decoder.fast_channels=4", *STEPS]
PRIOR = [
    *STEPS, "prior.channels=4", "prior.skip_channels=4", "train.device=cpu", "log.progress=false",
    "data.batch_size=2",
]  # fmt: skip


def config(name, speech, out, settings, **changes):
    values = configs.read_yaml(share.config_path(name, "shipped"))
    settings = [s for s in settings if not s.startswith("train.validate_every=100")]
    values |= {"manifest": str(speech), "out": str(out), "settings": settings} | changes
    return configs.parse(RECIPE.Config, values, name)


@pytest.fixture(scope="module")
def made(speech, tmp_path_factory):
    out = tmp_path_factory.mktemp("shipped")
    RECIPE.main(config("vq_50hz", speech, out, MODEL, max_utterances=2))
    RECIPE.main(config("wavenet_50hz", speech, out, PRIOR))
    return out


def test_the_folder_is_fit_for_the_box(made, monkeypatch):
    boxes.use(monkeypatch, made)
    assert shipped.names() == ["vq-50hz", "wavenet-50hz"]  # runs/ is none
    found = audiovq.models()
    model, prior = audiovq.load("vq-50hz"), priors.load("wavenet-50hz")
    assert found["vq-50hz"].fingerprint == model.fingerprint()
    assert found["wavenet-50hz"].fingerprint == prior.fingerprint()
    assert found["wavenet-50hz"].model == "vq-50hz"
    assert prior.about.codes.model_hash == model.fingerprint()
    for entry in found.values():
        assert entry.license == "cc-by-4.0"
        assert "training speakers" in entry.data
        text = (entry.folder / "README.md").read_text("utf-8")
        assert "Not stated." not in text
        assert "not recorded" not in text
        assert front.read(entry.folder).audiovq.storage == "float16"
        assert str(made.parent) not in text  # no path of this machine


def test_figures_are_of_the_stored_weights_on_test_speakers(made, speech):
    model = audiovq.load(made / "vq-50hz")
    report = evaluate(model, speech, max_utterances=2, metrics=["stft_distance"], progress=False)
    (result,) = front.parse(made / "vq-50hz" / "README.md")["model-index"][0]["results"]
    told = {m["type"]: m["value"] for m in result["metrics"]}
    assert told["stft_distance"] == pytest.approx(report["stft_distance"], rel=1e-9)
    assert result["dataset"]["split"] == "test"


def test_weights_are_those_of_the_best_step(made):
    best = audiovq.load(made / "runs" / "vq-50hz" / "best").encoder.state_dict()
    stored = audiovq.load(made / "vq-50hz").encoder.state_dict()
    assert all(bool((stored[k] == v.half().float()).all()) for k, v in best.items())


def test_again_with_other_figures_changes_the_card_and_no_weight(made, speech, tmp_path):
    before = (made / "vq-50hz" / "model.safetensors").read_bytes()
    more = json.loads(boxes.evaluation(audiovq.load(made / "vq-50hz")))
    (tmp_path / "more.json").write_text(json.dumps(more | {"notes": ["of another corpus"]}))
    changes = {"max_utterances": 2, "evaluations": [str(tmp_path / "more.json")]}
    RECIPE.main(config("vq_50hz", speech, made, MODEL, **changes))
    assert (made / "vq-50hz" / "model.safetensors").read_bytes() == before
    text = (made / "vq-50hz" / "README.md").read_text("utf-8")
    assert "of another corpus" in text
    assert text.count("audiovq evaluate vq-50hz MANIFEST") == 2


def test_mistakes(speech, tmp_path, monkeypatch):
    boxes.use(monkeypatch, tmp_path / "empty")
    with pytest.raises(ConfigError, match="prior of the codes of vq-50hz, which is not at"):
        RECIPE.main(config("wavenet_50hz", speech, tmp_path, PRIOR))
    with pytest.raises(ConfigError, match="manifest is missing"):
        RECIPE.main(config("vq_50hz", "", tmp_path, MODEL))
    given = {"config": "prior/wavenet_50hz"}
    with pytest.raises(ConfigError, match="a prior needs the name of the model whose codes"):
        RECIPE.main(config("vq_50hz", speech, tmp_path, (), **given))
    assert not list(tmp_path.glob("*/*.json"))
