import base64
import io
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
import soundfile
import torch

from audiovq import figures, report
from audiovq.errors import ConfigError
from audiovq.eval.result import Report
from audiovq.eval.values import Value
from tests.helpers import noise

RATE = 16000
VOID = {"meta", "img", "br"}


class Checker(HTMLParser):
    """Collects text and attributes, and refuses tags that do not nest."""

    def __init__(self):
        super().__init__()
        self.open, self.text, self.links, self.tags = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [v for k, v in attrs if k in {"src", "href"}]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def checked(page, folder):
    page.write(folder / "page.html")
    checker = Checker()
    checker.feed((folder / "page.html").read_text(encoding="utf-8"))
    assert checker.open == []
    assert all(link.startswith("data:") for link in checker.links)
    return checker


def evaluation(**values):
    return Report(
        model={"fingerprint": "f" * 64, "bottleneck": "vq_ema"},
        data={"split": "test", "utterances": 3, "speakers": 2, "hours": 0.5},
        machine={},
        date="2026-01-01T00:00:00+00:00",
        values=[
            Value(k, v, v - 1, v + 1, "bootstrap over 9 speakers", 3) for k, v in values.items()
        ],
        notes=["a note"],
    )


def test_a_page_is_one_file_that_fetches_nothing(tmp_path):
    page = report.Page("Title", "Below it")
    page.heading("Part")
    page.text("Words")
    page.code("audiovq ls")
    page.table(["model", "loss"], [["vq", 0.5]], "A caption")
    page.sounds({"original": noise(1, 800)}, RATE)
    page.figure(report.spectrograms({"original": noise(1, 8000)}, RATE), "A picture")
    text = " ".join(checked(page, tmp_path).text)
    for word in ("Title", "Below it", "Part", "Words", "audiovq ls", "0.5", "A caption"):
        assert word in text
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in html
    assert "http" not in re.sub(r"http-equiv|base64,[^\"]*", "", html)
    assert list(tmp_path.iterdir()) == [tmp_path / "page.html"]


def test_text_from_outside_cannot_become_markup(tmp_path):
    bad = "<script>alert(1)</script>\"'&"
    page = report.Page(bad, bad)
    page.heading(bad)
    page.text(bad)
    page.code(bad)
    page.table([bad], [[bad]], bad)
    page.sounds({bad: noise(1, 80)}, RATE)
    page.figure(report.curves({"a": ([1.0], [1.0])}, "y"), bad)
    page.evaluations({bad: evaluation(usage=0.5)})
    checker = checked(page, tmp_path)
    assert "script" not in checker.tags
    assert sum(bad in t for t in checker.text) >= 8


def test_sounds_are_what_they_were(tmp_path):
    x = noise(1, 1234)
    page = report.Page("t")
    page.sounds({"a": x, "b": 3 * x}, RATE)
    links = checked(page, tmp_path).links
    a, b = (soundfile.read(io.BytesIO(base64.b64decode(k.partition(",")[2]))) for k in links)
    assert a[1] == RATE
    np.testing.assert_allclose(a[0], x[0, 0].numpy(), atol=1 / 32768)
    np.testing.assert_allclose(b[0], (3 * x).clamp(-1, 1)[0, 0].numpy(), atol=2 / 32768)


def test_evaluations_stand_side_by_side_with_the_best_marked(tmp_path):
    page = report.Page("t")
    page.evaluations(
        {
            "vq": evaluation(log_mel_distance=5.0, stoi=0.8, perplexity=300.0),
            "ae": evaluation(log_mel_distance=4.0, stoi=0.7),
        }
    )
    text = " ".join(checked(page, tmp_path).text)
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert re.findall(r'class="best">([\d.]+)', html) == ["4.00", "0.800"]
    assert "[3.00, 5.00]" in text
    assert html.count("<td>\u2013</td>") == 1  # the continuous model has no perplexity
    assert "\u2191" in text
    assert "2 to the entropy of the code distribution" in text
    assert "a note" in text


def test_a_failed_write_leaves_the_old_page(tmp_path, monkeypatch):
    path = tmp_path / "page.html"
    path.write_text("old")
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        report.Page("t").write(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_spectrograms_show_time_frequency_and_level():
    t = torch.arange(2 * RATE) / RATE
    tone = (0.5 * torch.sin(2 * torch.pi * 2000 * t)).view(1, 1, -1)
    figure = report.spectrograms({"tone": tone, "half": tone / 2}, RATE)
    tone_ax, half_ax, bar = figure.axes
    image = tone_ax.images[0].get_array()
    loudest = int(np.argmax(image[:, 20])) + 0.5
    ticks = dict(
        zip([k.get_text() for k in tone_ax.get_yticklabels()], tone_ax.get_yticks(), strict=True)
    )
    assert loudest == pytest.approx(ticks["2"], abs=1)  # the axis says 2 kHz where the tone is
    assert tone_ax.images[0].get_extent()[1] == pytest.approx(2.0, abs=0.05)
    assert image.max() == 0
    assert half_ax.images[0].get_array().max() == pytest.approx(-6.02, abs=0.1)
    assert half_ax.get_xlabel() == "time (s)"
    assert tone_ax.get_ylabel() == "frequency (kHz)"
    assert "dB" in bar.get_ylabel()


@pytest.mark.parametrize("rate", [8000, 44100])
def test_spectrograms_at_other_rates_and_of_silence(rate):
    figure = report.spectrograms({"silence": torch.zeros(1, 1, 4000)}, rate)
    assert report.png(figure).startswith(b"\x89PNG")


def test_curves_and_shares_draw_the_numbers_given():
    figure = report.curves({"a": ([1.0, 2.0], [3.0, 5.0])}, "loss", log_scale=True)
    line = figure.axes[0].lines[0]
    assert line.get_xydata().tolist() == [[1, 3], [2, 5]]
    assert figure.axes[0].get_ylabel() == "loss"
    figure = report.code_shares({"vq": [1, 0, 3, 0]})
    assert figure.axes[0].lines[0].get_ydata().tolist() == [75, 25]
    assert figure.axes[0].get_legend().texts[0].get_text() == "vq: 2 of 4 codes used"


def test_from_log_takes_the_lines_that_have_the_key():
    entries = [{"step": 1, "a": 2}, {"step": 2}, {"step": 3, "a": 4}]
    assert report.from_log(entries, "a") == ([1.0, 3.0], [2.0, 4.0])
    assert report.from_log(entries, "b") == ([], [])


def test_without_matplotlib_the_error_names_the_extra(monkeypatch):
    monkeypatch.setattr(figures, "can_draw", lambda: False)
    with pytest.raises(ConfigError, match=r'pip install "audiovq\[train\]"'):
        report.curves({"a": ([1.0], [1.0])}, "y")


def test_import_is_light_and_drawing_leaves_no_global_state():
    code = (
        "import sys, audiovq.report as r;"
        "assert not {'matplotlib', 'torchaudio', 'scipy', 'librosa'} & set(sys.modules);"
        "r.png(r.curves({'a': ([1.0], [1.0])}, 'y'));"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
