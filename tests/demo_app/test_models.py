import threading

import pytest
import torch

import audiovq
from audiovq import registry
from audiovq.errors import CheckpointError, ConfigError
from audiovq.prior import TrainedPrior
from audiovq.prior._part import choose
from demo_app.models import Shelf
from tests import boxes
from tests.coding.with_prior import prior_of
from tests.helpers import SMALL, small_model, voices_model

RVQ = {"name": "rvq", "dim": 6, "codebook_size": 12, "num_codebooks": 3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of models as people have them: runs, bare folders, priors, and what is broken."""
    root = tmp_path_factory.mktemp("shelf")
    vq = small_model("vq_ema")
    vq.save(root / "vq" / "model")
    vq.save(root / "vq" / "checkpoints" / "old")  # of a run: left out
    small_model(RVQ).save(root / "deep" / "rvq")
    small_model("identity").save(root / "ae" / "model")
    voices_model().save(root / "voices")
    prior_of(vq).save(root / "vq-prior" / "model")
    prior_of(small_model("vq_ema", seed=5)).save(root / "other-prior")
    (root / "broken").mkdir()
    (root / "broken" / "config.json").write_text('{"format": "audiovq.model", "format_version": 1}')
    (root / "broken" / "model.safetensors").write_bytes(b"")
    (root / "odd").mkdir()
    (root / "odd" / "config.json").write_text("[]")
    (root / "odd" / "model.safetensors").write_bytes(b"")
    return root


@pytest.fixture(scope="module")
def shelf(folder):
    return Shelf([folder], shipped=False, warm=False, in_memory=2)


def test_every_model_is_found_by_a_name_that_is_no_path(shelf, folder):
    assert shelf.names() == ["ae", "deep/rvq", "voices", "vq"]
    assert set(shelf.notes) == {"odd", "broken"}
    shown = " ".join([*shelf.notes.values(), *(f.title for f in shelf.models())])
    assert str(folder.parent) not in shown


def test_facts_are_those_of_the_loaded_model(shelf):
    for name in shelf.names():
        facts, model = shelf.facts(name), shelf.model(name)
        for same in ("sample_rate", "hop_length", "frame_rate", "codebook_sizes", "layout",
                     "bitrate", "speakers", "is_discrete", "num_codebooks"):  # fmt: skip
            assert getattr(facts, same) == getattr(model, same), (name, same)
    assert [shelf.facts(n).prefixes for n in shelf.names()] == [(), (1, 2, 3), (1,), (1,)]


@pytest.mark.parametrize("name", registry.names("bottlenecks"))
def test_facts_of_every_bottleneck_are_those_of_the_model(name, tmp_path):
    from audiovq.autoencoder import Autoencoder, AutoencoderConfig
    from audiovq.config import parse
    from demo_app.facts import facts_of

    config = parse(AutoencoderConfig, {**SMALL, "bottleneck": {"name": name}})
    facts, model = facts_of(name, config), Autoencoder(config)
    same = (model.hop_length, model.frame_rate, model.codebook_sizes, model.layout, model.bitrate)
    assert same == (
        facts.hop_length, facts.frame_rate, facts.codebook_sizes, facts.layout, facts.bitrate
    )  # fmt: skip


def test_unknown_names_are_refused_and_never_looked_for(shelf):
    for name in ("../vq", "/etc", "vq/model", "checkpoints/old", "", "other-prior"):
        with pytest.raises(ConfigError, match="no model"):
            shelf.model(name)
    with pytest.raises(ConfigError, match="no prior"):
        shelf.prior("vq", "../vq-prior")


def test_a_model_knows_its_own_priors(shelf):
    assert shelf.with_priors() == ["vq"]
    assert [p.name for p in shelf.priors("vq")] == ["vq-prior"]
    assert shelf.priors("ae") == shelf.priors("voices") == []
    (trained,) = shelf.prior("vq", "vq-prior")
    assert trained.about.codes.model_hash == shelf.model("vq").fingerprint()
    assert shelf.whole_prior("vq") is trained
    assert shelf.whole_prior("deep/rvq") is None


def test_few_models_are_kept_and_the_oldest_goes_first(folder):
    shelf = Shelf([folder], shipped=False, warm=False, in_memory=2)
    first = shelf.model("vq")
    shelf.model("ae")
    assert shelf.model("vq") is first
    shelf.model("voices")
    assert shelf.loaded() == ["vq", "voices"]
    assert shelf.model("vq") is first


def test_a_model_that_is_written_again_is_read_again(tmp_path):
    small_model("vq_ema").save(tmp_path / "vq")
    shelf = Shelf([tmp_path], shipped=False, warm=False)
    before = shelf.model("vq").fingerprint()
    small_model("vq_ema", seed=9).save(tmp_path / "vq")
    assert shelf.model("vq").fingerprint() != before


def test_many_threads_load_a_model_once(folder, monkeypatch):
    import audiovq

    loads, whole = [], audiovq.load
    monkeypatch.setattr(audiovq, "load", lambda path: loads.append(path) or whole(path))
    shelf = Shelf([folder], shipped=False, warm=False)
    found = []
    threads = [threading.Thread(target=lambda: found.append(shelf.model("vq"))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loads) == 1
    assert len(set(map(id, found))) == 1


def test_a_run_that_is_given_itself_has_its_own_name(folder):
    assert Shelf([folder / "vq"], shipped=False, warm=False).names() == ["vq"]
    assert Shelf([folder / "vq" / "model"], shipped=False, warm=False).names() == ["vq"]
    twice = Shelf([folder / "vq", folder / "vq"], shipped=False, warm=False)
    assert twice.names() == ["vq", "vq (2)"]


def test_a_folder_that_is_not_there_and_a_model_that_is_gone(tmp_path):
    with pytest.raises(ConfigError, match="no folder"):
        Shelf([tmp_path / "none"])
    small_model("vq_ema").save(tmp_path / "vq")
    shelf = Shelf([tmp_path], shipped=False, warm=False)
    (tmp_path / "vq" / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(CheckpointError) as caught:
        shelf.model("vq")
    assert str(tmp_path) not in str(caught.value)
    (tmp_path / "vq" / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="vq is no longer there"):
        shelf.model("vq")


def test_links_to_folders_are_not_followed(folder, tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "outside").symlink_to(folder, target_is_directory=True)
    assert Shelf([tmp_path / "models"], shipped=False, warm=False).names() == []


def part_of(model, stream, given=()):
    """An untrained prior of one stream of a model's codes, given others."""
    found = prior_of(model, "wavenet")
    part = choose(model.layout, model.codebook_sizes, [stream], given)
    codes = found.about.codes.model_copy(update={"codebook_sizes": part.modelled_sizes})
    settings = found.about.prior.model_copy(update={"condition_codes": part.given_sizes})
    about = found.about.model_copy(update={"codes": codes, "part": part, "prior": settings})
    return TrainedPrior.build(about)


def test_priors_of_parts_are_chained_in_the_order_of_drawing(tmp_path):
    model = small_model(
        {"name": "vqvae2", "dim": 6, "codebook_size": 16, "slow_codebook_size": 9, "ratio": 2}
    )
    model.save(tmp_path / "two")
    part_of(model, "fast", ["slow"]).save(tmp_path / "fast")
    shelf = Shelf([tmp_path], shipped=False, warm=False)
    assert shelf.priors("two") == []  # nothing draws the slow rows
    part_of(model, "slow").save(tmp_path / "slow")
    shelf = Shelf([tmp_path], shipped=False, warm=False)
    assert [p.parts for p in shelf.priors("two")] == [("slow", "fast")]
    assert [len(shelf.prior("two", p.name)) for p in shelf.priors("two")] == [2]
    assert shelf.whole_prior("two") is None
    assert shelf.whole_prior("two", 1) is not None  # the first row's


def test_making_a_shelf_leaves_the_random_state_alone(folder):
    before = torch.random.get_rng_state()
    Shelf([folder], shipped=False, warm=False).models()
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.fixture
def box(monkeypatch, tmp_path):
    """Untrained stand-ins for the models that come with the package, by their names."""
    made = {"vq-50hz": small_model(), "rvq-50hz": small_model(RVQ), "vae-50hz": small_model("vae")}
    made["voice-50hz"] = voices_model(reference=True)
    for name, model in made.items():
        model.save(tmp_path / name, half=True)
        boxes.write(tmp_path / name, words=boxes.WORDS, of="")
    prior = boxes.tiny_prior(audiovq.load(tmp_path / "vq-50hz"))
    prior.save(tmp_path / "wavenet-50hz", half=True)
    boxes.write(tmp_path / "wavenet-50hz", words=boxes.WORDS, of="vq-50hz")
    boxes.use(monkeypatch, tmp_path)


def test_the_models_that_come_with_the_package_are_there_by_their_short_names(box, folder):
    shelf = Shelf([], warm=False)
    assert set(shelf.names()) == {"vq-50hz", "rvq-50hz", "vae-50hz", "voice-50hz"}
    assert shelf.notes == {}
    assert shelf.with_priors() == ["vq-50hz"]
    assert [p.name for p in shelf.priors("vq-50hz")] == ["wavenet-50hz"]
    assert shelf.model("rvq-50hz").num_codebooks == 3
    both = Shelf([folder], warm=False).names()
    assert set(both[:4]) == set(shelf.names())  # ours first, then the visitor's
    assert "vq" in both


def test_the_page_opens_with_a_model_that_shows_what_a_panel_is_for(box):
    pytest.importorskip("gradio")
    from demo_app import app
    from demo_app.panels import compare
    from demo_app.settings import Settings

    hall = app.hall_of(Settings())
    blocks = app.page(hall)
    values = {b.elem_id: b.value for b in blocks.blocks.values() if getattr(b, "elem_id", None)
              in {"model", "compare-models"}}  # fmt: skip
    assert values["model"] == "rvq-50hz"
    assert values["compare-models"] == ["rvq-50hz", "vq-50hz", "vae-50hz"] == compare.first(hall)
    opened = {panel: app.first(hall, panel) for panel in app.PANELS}
    assert opened == {
        "resynthesise": "rvq-50hz", "compare": "rvq-50hz", "units": "vq-50hz", "edit": "vq-50hz",
        "voice": "voice-50hz", "generate": "vq-50hz",
    }  # fmt: skip


def test_priors_of_one_model_can_be_told_apart(tmp_path):
    model = small_model("vq_ema")
    model.save(tmp_path / "vq")
    for name, steps in (("short", 20), ("long", 4000)):
        prior_of(model).save(tmp_path / name / "model")
        (tmp_path / name / "config.yaml").write_text(f"train: {{max_steps: {steps}}}\n")
    prior_of(model).save(tmp_path / "bare")
    (tmp_path / "bare" / "config.yaml").write_text("- [")
    found = {p.name: p.title for p in Shelf([tmp_path], shipped=False, warm=False).priors("vq")}
    kind = found["bare"].removeprefix("bare (").removesuffix(")")
    assert found == {
        "bare": f"bare ({kind})",
        "long": f"long ({kind}, 4,000 steps)",
        "short": f"short ({kind}, 20 steps)",
    }
