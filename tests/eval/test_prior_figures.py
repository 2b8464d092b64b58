import numpy as np
import pytest
import torch

from audiovq.eval import prior_figures
from audiovq.eval.prior_summary import Example, Follow, Surprise
from audiovq.figures import png

pytest.importorskip("matplotlib")
RATE, HOP = 16000, 320
FRAME = HOP / RATE


def surprise(rows=1):
    """Figures of a prior that finds frame t of row k worth t + 10 k bits."""
    bits = tuple(tuple(float(t + 10 * k) for t in range(6)) for k in range(rows))
    return Surprise(
        utterances=2, row_means=(5.0,) * rows, width=0.5, repeated=(4, 2, 0), changed=(0, 1, 3),
        by_position=((4.0, 2.0, 3.0),) * rows,
        examples=(Example(id="a", bits=bits, mean=2.5), Example(id="b", bits=bits, mean=3.0)),
    )  # fmt: skip


@pytest.mark.parametrize("rows", [1, 4])
def test_a_code_stands_over_its_own_stretch_of_sound(rows):
    """A click in frame 30 is where its code is: both axes share their time."""
    x = torch.zeros(1, 1, 50 * HOP)
    x[..., 30 * HOP + HOP // 2] = 1.0
    bits = np.ones((rows, 50))
    bits[:, 30] = 9.0
    figure = prior_figures.over_spectrogram(x, RATE, bits, FRAME, prompt=10)
    png(figure)  # places everything
    above, below = figure.axes[:2]
    assert above.get_xlim() == below.get_xlim() == (0, 1.0)
    boxes = [ax.get_position() for ax in (above, below)]
    assert boxes[0].x0 == pytest.approx(boxes[1].x0)
    assert boxes[0].x1 == pytest.approx(boxes[1].x1)
    if rows == 1:
        values, edges, _ = above.patches[0].get_data()
    else:
        mesh = above.collections[0]
        values, edges = mesh.get_array().reshape(rows, 50)[-1], mesh.get_coordinates()[0, :, 0]
    np.testing.assert_allclose(edges, np.arange(51) * FRAME)
    assert int(np.argmax(values)) == 30
    image = below.images[0]
    left, right = image.get_extent()[:2]
    level = image.get_array()
    columns = np.flatnonzero(level.max(axis=0) > -20)
    step = (right - left) / level.shape[1]
    heard = left + (columns.mean() + 0.5) * step
    assert heard == pytest.approx(30.5 * FRAME, abs=step / 2)
    assert [line.get_xdata()[0] for line in below.lines] == [10 * FRAME]  # the prompt's end


def test_without_prompt_nothing_is_marked():
    figure = prior_figures.over_spectrogram(
        torch.zeros(1, 1, 7 * RATE), RATE, np.ones((1, 350)), FRAME
    )
    above, below = figure.axes
    assert not below.lines
    assert not above.texts
    assert figure.get_figwidth() == 9.0


def test_pictures_hold_the_figures():
    follow = Follow(
        codes=(7, 2), share=0.5, lift=((1.0, -2.0), (0.5, 3.0)), stays=(0.25, 0.5), runs=(5, 2, 1)
    )
    left, right = prior_figures.follows(follow).axes[:2]
    assert left.images[0].get_array().tolist() == [[1.0, -2.0], [0.5, 3.0]]
    assert [bar.get_width() for bar in right.patches] == [25.0, 50.0]
    bars = prior_figures.durations((5, 2, 1, 1, 1), 0.02, most=3).axes[0].patches
    assert [bar.get_height() for bar in bars] == [50.0, 20.0, 30.0]
    ax = prior_figures.spread(surprise(), nominal=9.0).axes[0]
    assert [p.get_height() for p in ax.patches] == [40.0, 20.0, 0.0, 0.0, 10.0, 30.0]
    assert [p.get_y() for p in ax.patches][3:] == [40.0, 20.0, 0.0]  # one kind on the other
    assert [line.get_xdata()[0] for line in ax.lines] == [5.0, 9.0]
    line = prior_figures.positions(surprise(), 0.02).axes[0].lines[0]
    assert line.get_xdata() == pytest.approx([0.01, 0.04, 0.1])  # frames 0; 1, 2; 3 to 6
    assert list(line.get_ydata()) == [4.0, 2.0, 3.0]


@pytest.mark.parametrize("rows", [1, 3])
def test_examples_are_drawn_over_the_same_time(rows):
    axes = prior_figures.over_time(surprise(rows), 0.02).axes
    assert len(axes) == (2 if rows == 1 else 3)  # with a scale of colours
    assert axes[0].get_xlim() == axes[1].get_xlim() == (0, pytest.approx(0.12))
    assert axes[0].get_title(loc="left") == "least surprising: 2.50 bits per code"
