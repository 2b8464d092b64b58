import pytest
import torch

from audiovq.errors import AudioError, CheckpointError, ConfigError
from audiovq.eval import surprise
from audiovq.prior import _generate as library
from demo_app.sound import Recording
from demo_app.work.generate import Wish, generate
from tests.coding.with_prior import prior_of
from tests.demo_app.work.small import folded
from tests.helpers import noise

VQ = folded()
PRIOR = prior_of(VQ)
FRAME = 10 / 16000
PROMPT = Recording(noise(1, 105), 16000, "p")


def of(frames=20, **more):
    return Wish(seconds=frames * FRAME, **more)


def test_pieces_are_those_of_the_library():
    found = list(generate(VQ, [PRIOR], of(pieces=3, seed=4, temperature=0.8, top_k=3)))
    asked = library.Wish(number=3, seconds=20 * FRAME, batch=1, seed=4, temperature=0.8, top_k=3)
    for number, (piece, (codes, x)) in enumerate(
        zip(found, library.generate(PRIOR, VQ, asked, progress=False), strict=True), 1
    ):
        assert piece.number == number
        assert torch.equal(piece.codes, codes)
        assert torch.equal(piece.recording.x, x)
        assert piece.codes.shape == (1, 20)
        assert piece.prompt_seconds == 0
        bits = surprise.of_drawn([PRIOR], codes).mean()
        assert piece.bits_per_code == pytest.approx(bits)
    assert not torch.equal(found[0].codes, found[1].codes)
    again = next(generate(VQ, [PRIOR], of(seed=4, temperature=0.8, top_k=3)))
    assert torch.equal(again.codes, found[0].codes)


def test_a_prompt_is_kept_and_goes_on():
    (piece,) = generate(VQ, [PRIOR], of(pieces=1), PROMPT)
    whole = VQ.encode(PROMPT.x[..., :100], exact=True)[0]
    assert torch.equal(piece.codes[:, :10], whole)
    assert piece.prompt_seconds == pytest.approx(10 * FRAME)
    bits = surprise.of_drawn([PRIOR], piece.codes)[:, 10:].mean()
    assert piece.bits_per_code == pytest.approx(bits)
    other = Recording(PROMPT.x, 8000, "p")  # of another rate: twice as long here
    (piece,) = generate(VQ, [PRIOR], of(pieces=1, frames=30), other)
    assert piece.prompt_seconds == pytest.approx(21 * FRAME)


def test_it_stops_when_it_is_closed(monkeypatch):
    drawn = []
    whole = library._draw
    monkeypatch.setattr(library, "_draw", lambda *a, **k: drawn.append(1) or whole(*a, **k))
    pieces = generate(VQ, [PRIOR], of(pieces=5))
    assert not drawn
    next(pieces)
    pieces.close()
    assert len(drawn) == 1


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        (of(pieces=0), "at least 1"),
        (of(0), "less than a frame"),
        (Wish(seconds=float("nan")), "seconds nan"),
        (Wish(seconds=1e9), "a day"),
        (of(temperature=-1.0), "temperature"),
        (of(top_k=0), "top_k"),
        (of(top_p=0.0), "top_p"),
        (of(label="ann"), "without labels"),
    ],
)
def test_wishes_that_cannot_be_met_are_refused_at_once(wish, message):
    with pytest.raises(ConfigError, match=message) as caught:
        generate(VQ, [PRIOR], wish)
    assert "--" not in str(caught.value)


def test_what_does_not_fit_is_refused_at_once():
    with pytest.raises(ConfigError, match="the prompt has"):
        generate(VQ, [PRIOR], of(5), PROMPT)
    with pytest.raises(CheckpointError):
        generate(folded(seed=3), [PRIOR], of())
    with pytest.raises(ConfigError, match="continuous"):
        generate(folded("identity"), [PRIOR], of())
    with pytest.raises(AudioError):
        generate(VQ, [PRIOR], of(), Recording(torch.zeros(1, 1, 0), 16000))
