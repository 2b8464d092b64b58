import pytest
import torch

from audiovq.errors import ConfigError
from demo_app.sound import Recording
from demo_app.work.changes import Span
from demo_app.work.edit import OPERATIONS, Edit, begin, edit
from tests.demo_app.work.small import folded
from tests.helpers import noise

MODEL = folded("vq_ema")  # 10 samples a frame
FRAME = 10 / 16000
X = Recording(noise(1, 1995), 16000, "x")  # the last frame is half full


@pytest.fixture(scope="module")
def start():
    return begin(MODEL, X)


def wish(operation, first=20, last=40, **more):
    return Edit(operation=operation, start=first * FRAME, end=last * FRAME, **more)


def test_it_begins_with_the_reconstruction(start):
    assert torch.equal(start.codes, MODEL.encode(X.x, exact=True)[0])
    assert torch.equal(start.recording.x, MODEL.decode(start.codes[None], 1995))
    assert start.before is None
    assert begin(MODEL, X.at(8000)).recording.sample_rate == 16000


@pytest.mark.parametrize(
    ("operation", "more", "frames", "span"),
    [
        ("swap", {"other_start": 60 * FRAME, "other_end": 65 * FRAME}, 200, Span(20, 65)),
        ("repeat", {"times": 3}, 240, Span(20, 80)),
        ("erase", {}, 180, Span(20, 20)),
        ("reverse", {}, 200, Span(20, 40)),
        ("smooth", {"width": 5}, 200, Span(20, 40)),
    ],
)
def test_what_is_heard_are_the_changed_codes(start, operation, more, frames, span):
    found = edit(MODEL, start, wish(operation, **more))
    assert found.codes.shape == (1, frames)
    assert found.span == span
    assert found.recording.x.shape[-1] == frames * 10 - 5
    assert torch.equal(found.recording.x, MODEL.decode(found.codes[None], frames * 10 - 5))
    assert torch.equal(found.before, start.codes)
    assert not torch.equal(found.codes, start.codes)
    inside = slice(0, span.start)
    assert torch.equal(found.codes[:, inside], start.codes[:, inside])


def test_edits_follow_one_another(start):
    twice = edit(MODEL, edit(MODEL, start, wish("reverse")), wish("reverse"))
    assert torch.equal(twice.codes, start.codes)
    assert torch.equal(twice.recording.x, start.recording.x)
    last = edit(MODEL, start, wish("erase", 190, 200))
    assert last.recording.x.shape[-1] == 1895


def test_what_cannot_be_done_is_refused_in_one_line(start):
    with pytest.raises(ConfigError, match="known: swap, repeat"):
        edit(MODEL, start, wish("../x"))
    with pytest.raises(ConfigError, match="up to 60 s"):
        edit(MODEL, start, wish("repeat", times=10**9))
    with pytest.raises(ConfigError, match="overlap"):
        edit(MODEL, start, wish("swap", other_start=0.0, other_end=1.0))
    with pytest.raises(ConfigError, match="continuous and has no codes to edit"):
        begin(folded("identity"), X)
    assert set(OPERATIONS) == {"swap", "repeat", "erase", "reverse", "smooth"}


def test_a_model_of_two_rates_is_turned_around_within_its_frames():
    two = folded({"name": "vqvae2", "dim": 6, "codebook_size": 16, "ratio": 2})
    start = begin(two, Recording(noise(1, 400), 16000))
    whole = Edit(operation="reverse", start=0.0, end=1.0)
    found = edit(two, start, whole)
    assert torch.equal(found.codes[0], start.codes[0].flip(0))
    assert torch.equal(found.codes[1], start.codes[2].flip(0))
