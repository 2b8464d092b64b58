"""What is on the page, without a browser: every control explains itself."""

import pytest

from audiovq.errors import ConfigError
from tests.demo_app.panels.conftest import needs_gradio

pytestmark = needs_gradio


@pytest.fixture(scope="module")
def settings(folder):
    from demo_app.settings import Settings

    return Settings(models=(folder,))


@pytest.fixture(scope="module")
def blocks(settings):
    from demo_app import app

    return app.build(settings)


def shown(blocks, *kinds):
    """Controls of the page; those of the endpoints have no identifier."""
    return [b for b in blocks.blocks.values() if isinstance(b, kinds) and b.elem_id]


def test_every_control_has_a_label_and_an_explanation(blocks):
    import gradio as gr

    found = shown(
        blocks, gr.Slider, gr.Number, gr.Dropdown, gr.Radio, gr.Checkbox, gr.CheckboxGroup
    )
    assert len(found) > 15
    for control in found:
        assert control.label, control.elem_id
        assert len(control.info.split()) >= 4, control.elem_id
        assert control.info.endswith("."), control.elem_id


def test_players_and_pictures_have_labels_and_convert_nothing(blocks):
    import gradio as gr

    for part in shown(blocks, gr.Audio, gr.Image, gr.Dataframe):
        assert part.label, part.elem_id
    for player in shown(blocks, gr.Audio):
        assert player.format is None  # "wav" would need ffmpeg
        assert player.type == "filepath"
        assert "share" not in (player.buttons or [])
        assert not player.streaming


def test_long_work_can_be_cancelled(blocks):
    cancelling = [f for f in blocks.fns.values() if f.cancels]
    stops = {blocks.blocks[t[0]].elem_id for f in cancelling for t in f.targets}
    assert stops == {f"{p}-stop" for p in ("resynthesise", "compare", "units", "voice",
                                           "voice-find", "generate")}  # fmt: skip


def test_only_named_endpoints_are_public(blocks):
    from demo_app import endpoints

    public = [f.api_name for f in blocks.fns.values() if f.api_visibility == "public"]
    assert sorted(public) == sorted(endpoints._ENDPOINTS)


def test_a_server_without_models_says_what_to_do(tmp_path, monkeypatch):
    import gradio as gr

    from demo_app import app
    from demo_app.models import Shelf
    from demo_app.panels._common import Hall
    from demo_app.settings import Settings

    (tmp_path / "empty").mkdir()
    hall = Hall(Settings(), Shelf([tmp_path / "empty"], shipped=False))
    blocks = app.page(hall)
    (told,) = [b for b in blocks.blocks.values() if b.elem_id == "no-models"]
    assert isinstance(told, gr.Markdown)
    assert "--models" in told.value
    said = [
        str(b.value) for b in blocks.blocks.values() if isinstance(b, gr.Markdown) and b.visible
    ]
    assert not [words for words in said if "is continuous" in words]
    with pytest.raises(ConfigError, match="no model is chosen"):
        hall.facts(None)


def test_a_folder_that_is_not_there(tmp_path):
    from demo_app import app
    from demo_app.settings import Settings

    with pytest.raises(ConfigError, match="nowhere"):
        app.build(Settings(models=(tmp_path / "nowhere",)))
