import io
from dataclasses import replace

import numpy as np
import pytest
import torch

from demo_app import pictures
from demo_app.sound import Recording
from demo_app.work.changes import Span
from demo_app.work.compare import compare
from demo_app.work.edit import Edit, begin, edit
from demo_app.work.resynthesise import resynthesise
from demo_app.work.units import units
from tests.demo_app.work.small import folded
from tests.helpers import noise

pytest.importorskip("matplotlib")

VQ = folded()
RVQ = folded({"name": "rvq", "dim": 6, "codebook_size": 12, "num_codebooks": 3})
X = Recording(noise(1, 3995), 16000, "x")


def words(figure):
    from matplotlib.text import Text

    return [t.get_text() for t in figure.findobj(Text) if t.get_text()]


def image_of(figure, number):
    return np.asarray(figure.axes[number].images[0].get_array())


def test_a_reconstruction_its_original_and_their_difference_have_one_axis():
    paused = Recording(torch.cat((X.x, torch.zeros(1, 1, 4000)), dim=-1), 16000)
    found = resynthesise(RVQ, paused, measure=False)
    figure = pictures.spectrograms(found)
    said = words(figure)
    for word in ("original", "reconstruction", "time (s)", "frequency (kHz)", "difference (dB)"):
        assert word in said
    a, b, difference = (image_of(figure, n) for n in range(3))
    np.testing.assert_allclose(difference, b - a)
    assert max(a.max(), b.max()) == 0
    assert a.min() == -80  # of silence
    assert len({ax.get_xlim() for ax in figure.axes[:3]}) == 1
    equal = replace(found, reconstruction=found.original)
    assert not image_of(pictures.spectrograms(equal), 2).any()


def test_codes_are_drawn_over_time_and_codebook():
    found = resynthesise(RVQ, X, measure=False)
    figure = pictures.codes(found.codes, found.codebook_sizes, found.layout, found.frame_rate)
    np.testing.assert_allclose(image_of(figure, 0), 100 * found.codes.numpy() / 12)
    said = words(figure)
    assert {"codebook 0", "codebook 2", "time (s)"} <= set(said)
    assert figure.axes[0].images[0].get_extent()[:2] == [0, 400 / 1600]


def test_units_are_drawn_where_they_are_and_the_chosen_ones_marked():
    found = units(VQ, X)
    chosen = found.units[3].codes
    figure = pictures.units(found, chosen)
    times = sum(u.codes == chosen for u in found.units)
    assert f"{chosen[0]} is marked, {times} times" in " ".join(words(figure))
    ax = figure.axes[0]
    starts = sorted(line.get_xdata()[0] for line in ax.lines)
    assert starts == [u.start for u in found.units]
    assert len(ax.patches) == times
    near = pictures.units(found, window=(found.units[2].start, found.units[5].end))
    labels = [u.label for u in found.units[2:6]]
    assert [t.get_text() for t in near.axes[0].texts] == labels
    assert not figure.axes[0].texts or len(found.units) <= pictures.MOST_LABELS


def test_many_units_leave_the_spectrogram_to_be_seen():
    fewer = [pictures._faintness(n) for n in (1, 100, 200, pictures.MOST_LINES, 500, 3000)]
    assert fewer == sorted(fewer, reverse=True)
    assert (fewer[0], fewer[-2]) == (0.6, 0.0)
    found = units(VQ, X)
    many = replace(found, units=found.units * (1 + 500 // len(found.units)))
    assert len(many.units) > pictures.MOST_LINES
    assert not pictures.units(many).axes[0].lines
    assert pictures.units(many, found.units[0].codes).axes[0].patches


def test_an_edit_shows_what_it_changed():
    start = begin(VQ, X)
    found = edit(VQ, start, Edit(operation="repeat", start=0.0625, end=0.125, times=2))
    assert found.span == Span(100, 300)
    figure = pictures.edited(start, found, VQ.frame_rate)
    assert sorted(line.get_xdata()[0] for line in figure.axes[1].lines) == [0.0625, 0.1875]
    assert {"before", "after", "time (s)"} <= set(words(figure))


def test_models_are_drawn_by_rate_and_distortion():
    models = {"vq": VQ, "rvq": RVQ, "ae": folded("identity")}
    *_, last = compare(models.__getitem__, list(models), X)
    said = words(pictures.rate_distortion(last))
    assert {"vq", "rvq", "ae", "rate (bit/s)"} <= set(said)
    assert any("log-mel distance (dB)" in w for w in said)


def test_pictures_are_legible_on_light_and_on_dark_ground():
    from matplotlib import colors, image

    figure = pictures.sounds({"a": X, "b": Recording(torch.zeros(1, 1, 5), 16000)})
    ground = image.imread(io.BytesIO(pictures.png(figure)))
    assert ground[0, 0, 3] == 0  # transparent
    ink = {colors.to_hex(t.get_color()) for ax in figure.axes for t in ax.get_xticklabels()}
    assert ink == {pictures.INK}

    def luminance(colour):
        c = np.array(colors.to_rgb(colour))
        return (np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)) @ (
            0.2126, 0.7152, 0.0722,
        )  # fmt: skip

    mine = luminance(pictures.INK)
    assert (1.05 / (mine + 0.05)) > 4.5 < ((mine + 0.05) / 0.05)


def test_a_recording_of_a_sample_and_of_silence_can_be_drawn():
    one, silent = torch.full((1, 1, 1), 0.5), torch.zeros(1, 1, 700)
    found = resynthesise(VQ, Recording(one, 16000), measure=False)
    assert pictures.png(pictures.spectrograms(found))[:4] == b"\x89PNG"
    assert pictures.png(pictures.units(units(VQ, Recording(silent, 16000))))[:4] == b"\x89PNG"
