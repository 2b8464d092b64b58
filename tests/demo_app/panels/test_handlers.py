"""What the panels answer, called as gradio calls them, without a server."""

from types import SimpleNamespace

import pytest

from audiovq.errors import CheckpointError, ConfigError
from tests.demo_app.panels.conftest import SPEAKERS, needs_gradio

pytestmark = needs_gradio


@pytest.fixture(scope="module")
def hall(folder, tmp_path_factory):
    import os

    from demo_app.models import Shelf
    from demo_app.panels._common import Hall
    from demo_app.settings import Settings

    before = os.environ.get("GRADIO_TEMP_DIR")
    os.environ["GRADIO_TEMP_DIR"] = str(tmp_path_factory.mktemp("cache"))
    yield Hall(Settings(max_seconds=5.0), Shelf([folder], shipped=False))
    os.environ.pop("GRADIO_TEMP_DIR")
    if before is not None:
        os.environ["GRADIO_TEMP_DIR"] = before


@pytest.fixture(scope="module")
def path(recording):
    return str(recording)


def quiet(*_, **__):
    """A progress bar that nobody sees."""


def is_nothing(update) -> bool:
    return isinstance(update, dict) and set(update) <= {"__type__"}


def test_resynthesise(hall, path):
    from demo_app.panels import resynthesise

    for model in ("plain", "layers", "smooth"):
        steps = list(resynthesise._run(hall, path, model, 1, quiet))
        assert all(len(step) == 6 for step in steps)
        assert all(is_nothing(u) for u in steps[0])
        assert steps[-1][1].endswith(f"-{model}.wav")
        assert steps[-1][4]["visible"] is (model != "smooth")


def test_compare(hall, path):
    from demo_app.panels import compare

    steps = list(compare._run(hall, path, ["plain", "smooth"], quiet))
    assert all(len(step) == 4 + compare.MOST for step in steps)
    visible = [[u["visible"] for u in step[4:]] for step in steps]
    assert [sum(v) for v in visible] == [0, 1, 2]
    assert "plain" in steps[-1][4]["label"]


def test_units(hall, path):
    from demo_app.panels import _occurrences, units

    *_, last = units._run(hall, path, "layers", ["codebook 0", "codebook 2"], quiet)
    assert len(last) == 8
    view = last[0]
    found = view.found
    unit = found.units[3]
    new, picture, heard = _occurrences.chosen(hall, view, found.rows()[3], 0.0)
    assert picture["value"].endswith(".png")
    assert (new.start, new.end) == (view.start, view.end)
    times = sum(u.codes == unit.codes for u in found.units)
    assert heard.count("<audio") == min(12, times)
    assert ("12 of them to hear" in heard.split("</h4>")[0]) is (times > 12)

    middle = (unit.start + unit.end) / 2
    share = (middle - view.start) / (view.end - view.start)
    pixel = view.left + share * (view.right - view.left)
    assert view.unit_at(pixel) == unit
    assert view.unit_at(-1000.0) == found.units[0]
    assert view.unit_at(1e6) == found.units[-1]
    near, _, also = _occurrences.chosen(hall, view, [pixel, 90], 0.5)
    assert also == heard
    assert near.end - near.start == pytest.approx(0.5)
    assert near.start <= unit.start
    assert unit.end <= near.end
    assert near.unit_at((near.left + near.right) / 2) in found.units
    with pytest.raises(ConfigError, match="forgotten"):
        _occurrences.chosen(hall, None, [1, 2], 0.0)


def test_units_of_a_corpus(hall, path):
    from dataclasses import replace

    from demo_app.panels import _occurrences, units
    from demo_app.work.units import clips

    *_, (view, *_) = units._run(hall, path, "plain", ["codebook 0"], quiet)
    found = view.found

    def told() -> str:
        return _occurrences.chosen(whole, view, found.rows()[0], 0.0)[-1]

    corpus = SimpleNamespace(
        name="corpus <1>", note="", why_not=lambda found: "", count=lambda *_: 1234,
        clips=lambda codes, _: clips(found, codes, limit=2),
    )  # fmt: skip
    whole = replace(hall)
    object.__setattr__(whole, "corpus", corpus)  # a stand-in of its kind
    assert "1,234 times in corpus &lt;1&gt;; " in told()
    corpus.note = "its audio is not there"
    assert "its audio is not there" in told()
    corpus.why_not = lambda found: "they are another model's"
    assert "they are another model" in told()


def test_edit(hall, path):
    from demo_app.panels import edit

    session, seconds = None, []
    for operation in edit.WORDS:
        wish = edit.wish_of(operation, 0.2, 0.6, 0.8, 1.2, 2, 5)
        session, *shown = edit._apply(hall, session, path, "plain", wish)
        assert len(shown) == 4
        seconds.append(round(session.steps[-1].recording.seconds, 2))
    assert seconds == [2.0, 2.4, 2.0, 2.0, 2.0]
    session = edit._back(hall, session)[0]
    assert len(session.steps) == len(edit.WORDS)
    other = edit._apply(hall, session, path, "layers", wish)[0]
    assert len(other.steps) == 2  # another model: begun again
    for _ in range(edit._STEPS + 3):
        other = edit._apply(hall, other, path, "layers", wish)[0]
    assert len(other.steps) == edit._STEPS + 2


def test_voice(hall, path):
    from demo_app.panels import voice
    from demo_app.work import voice as work

    *_, last = voice._run(hall, path, "voices", "bob", None, quiet)
    assert last[1]["value"].endswith("two-seconds-as-bob.wav")
    assert last[1]["label"] == "In the voice of bob"
    *_, anyone = voice._run(hall, path, "voices", work.ANYONE, None, quiet)
    assert anyone[1]["value"] != last[1]["value"]
    *_, heard = voice._run(hall, path, "voices", voice.HEARD, path, quiet)
    assert heard[1]["label"] == "In the voice of two seconds"
    with pytest.raises(ConfigError, match="no reference recording yet"):
        list(voice._run(hall, path, "voices", voice.HEARD, None, quiet))
    *_, (table, update) = voice._find(hall, path, "voices", quiet)
    rows = table["value"]
    assert sorted(row[0] for row in rows) == list(SPEAKERS)
    assert update["value"] == rows[0][0]


def test_generate(hall, path):
    from demo_app.panels import generate

    steps = list(generate._run(hall, path, "plain", "talker", (True, 2, 3, 0.9, 0, 1, 0, "any"),
                               quiet))  # fmt: skip
    assert [sum(u["visible"] for u in step[1:]) for step in steps] == [0, 1, 2]
    assert "were given" in steps[-1][1]["label"]
    assert steps[-1][2]["value"].endswith("/piece-2-seed-0.wav")


def test_every_panel_follows_the_model(hall):
    import gradio as gr

    from demo_app import app
    from demo_app.panels._common import Desk

    with gr.Blocks():
        desk = Desk(gr.Audio(), gr.Dropdown(hall.shelf.names(), value="plain"))
        panels = [module.build(hall, desk) for module in app.PANELS.values()]
    for name in (*hall.shelf.names(), None):
        for panel in panels:
            assert len(panel.on_model(name)) == len(panel.depends)


def test_errors_are_one_line_without_paths(hall, tmp_path):
    import gradio as gr

    from demo_app.panels._common import answering

    for error, words in (
        (CheckpointError(f"{tmp_path}/model <b> is\ntorn"), "model &lt;b&gt; is torn"),
        (RuntimeError(f"secret of {tmp_path}"), "went wrong"),
    ):
        with pytest.raises(gr.Error, match=words) as caught, answering():
            raise error
        assert str(tmp_path) not in str(caught.value)
        assert caught.value.__cause__ is None


def test_what_cannot_be_used_is_told_to_whoever_starts_it(tmp_path, capsys):
    from demo_app import app
    from demo_app.settings import Settings

    (tmp_path / "torn").mkdir()
    for name in ("config.json", "model.safetensors"):
        (tmp_path / "torn" / name).write_text("{")
    hall = app.hall_of(Settings(models=(tmp_path,)))
    assert "torn" not in hall.shelf.names()
    assert "note: torn is left out: " in capsys.readouterr().err
