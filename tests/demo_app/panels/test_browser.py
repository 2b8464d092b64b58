"""Through every panel as a visitor goes: upload, click, hear, download, mistakes."""

import io
import json
import re

import numpy as np
import pytest
import soundfile
import torch

from audiovq import audio
from audiovq.coding import avq
from audiovq.voice.convert import convert as in_voice
from audiovq.voice.reference import hear
from demo_app.panels.voice import HEARD
from tests.demo_app.panels.conftest import SPEAKERS, needs_gradio
from tests.demo_app.panels.screen import Screen

pytestmark = needs_gradio


@pytest.fixture
def screen(browser, server):
    """Opens pages, and closes them after the test; none may have had a fault in a script."""
    opened = []

    def show(*panel_and_model, **how) -> Screen:
        opened.append(Screen(browser, server.url, *panel_and_model, **how))
        return opened[-1]

    yield show
    for page in opened:
        page.close()
        assert not page.faults


def pcm(x: torch.Tensor) -> np.ndarray:
    """16-bit samples of a waveform, as a file holds them."""
    return (x[0, 0].double() * 32768).round().clamp(-32768, 32767).to(torch.int16).numpy()


def check_same(heard, x_hat, rate=16000):
    samples, found_rate = heard
    assert found_rate == rate
    expected = pcm(x_hat)
    assert samples.shape == expected.shape
    # one step of 16 bits: blocks of another size round otherwise
    assert np.abs(samples.astype(int) - expected).max() <= 1
    assert np.abs(expected).max() > 100


@torch.no_grad()
def through(model, x, **how):
    return model.decode(model.encode(x, exact=True), x.shape[-1], **how)


@pytest.fixture(scope="session")
def x(recording):
    return audio.load(recording)


def test_resynthesise(screen, recording, models, x):
    page = screen("resynthesise", "layers")
    page.upload(recording)
    page.run()
    check_same(page.heard("resynthesise-result"), through(models["layers"], x))
    check_same(page.heard("resynthesise-original"), x)
    assert page.picture("resynthesise-spectrograms")[0] > 500
    assert page.picture("resynthesise-codes")[0] > 500
    shown = page.text("resynthesise-figures")
    assert "450 bit/s" in shown  # 50 Hz x 3 codebooks x 3 bits
    for word in ("SI-SDR", "log-mel", "dB", "Real-time factor"):
        assert word in shown

    name, data = page.download("resynthesise-download")
    assert name == "two-seconds.avq"
    expected = through(models["layers"], x)
    assert torch.allclose(avq.decompress(data, models["layers"]), expected, atol=1e-5)

    before = page.link("resynthesise-result")
    page.page.fill("#resynthesise-codebooks input[type=number]", "1")
    page.page.press("#resynthesise-codebooks input[type=number]", "Enter")
    page.run()
    with torch.no_grad():
        codes = models["layers"].encode(x, exact=True)[:, :1]
        fewer = models["layers"].decode(codes, x.shape[-1])
    check_same(page.heard("resynthesise-result", before), fewer)


def test_a_continuous_model_has_no_codes_to_show(screen, recording, models, x):
    page = screen("resynthesise", "smooth")
    page.upload(recording)
    page.run()
    with torch.no_grad():
        x_hat = models["smooth"].reconstruct(x)
    check_same(page.heard("resynthesise-result"), x_hat)
    page.picture("resynthesise-spectrograms")
    assert not page.page.is_visible("#resynthesise-codes")
    assert not page.page.is_visible("#resynthesise-codebooks")
    page.page.click("#panels button[role=tab]:has-text('Units')")
    page.page.wait_for_selector("text=no codes and so no units", state="visible")
    page.page.click("#units-run")
    assert "continuous" in page.error()


def test_compare(screen, recording):
    page = screen("compare")
    page.upload(recording)
    page.run()
    page.link("compare-player-3")
    rows = page.table("compare-table")
    assert len(rows) == 3
    assert page.picture("compare-plot")[0] > 500
    levels = []
    for n, row in enumerate(rows, 1):
        assert row[0] in page.page.inner_text(f"#compare-player-{n}")
        samples, rate = page.heard(f"compare-player-{n}")
        assert rate == 16000
        levels.append(samples)
    assert len({s.tobytes() for s in levels}) == 3


@pytest.mark.slow
def test_a_table_of_rates_fits_a_desk_and_scrolls_on_a_phone(screen, recording):
    page = screen("compare", width=1200)
    page.upload(recording)
    page.run()
    page.link("compare-player-3")
    page.table("compare-table")
    place = "e => { const r = e.getBoundingClientRect(); return [r.left, r.right]; }"
    table = page.page.locator("#compare-table")
    last = table.locator("[role=gridcell]").last
    for width, fits in ((1200, True), (390, False)):
        page.page.set_viewport_size({"width": width, "height": 900})
        page.page.wait_for_timeout(300)
        assert page.wider_than_page() <= 0
        assert (last.evaluate(place)[1] <= table.evaluate(place)[1] + 1) is fits
    last.evaluate(
        """e => {
          while (e.scrollWidth <= e.clientWidth || getComputedStyle(e).overflowX !== "auto")
            e = e.parentElement;
          e.scrollLeft = 10000;
        }"""
    )
    assert last.evaluate(place)[1] <= 390


def test_units(screen, recording, models, x):
    page = screen("units")
    page.upload(recording)
    page.run()
    rows = page.table("units-table")
    codes = models["plain"].encode(x, exact=True)[0, 0]
    values, counts = torch.unique_consecutive(codes, return_counts=True)
    assert [row[1] for row in rows] == [str(int(v)) for v in values[: len(rows)]]
    assert [row[-1] for row in rows] == [str(int(c)) for c in counts[: len(rows)]]
    first = page.page.get_attribute("#units-picture img", "src")

    page.page.click("[data-testid=cell-1-1]")
    clips = page.clips("units-clips")
    times = int((values == values[1]).sum())
    assert len(clips) == min(times, 12)
    assert f"{times} times" in page.text("units-clips")
    wanted = pcm(x)
    starts = torch.cumsum(counts, 0) - counts
    start = max(0, int(starts[1]) * 320 - 4000)  # a quarter of a second before
    samples, rate = clips[0]
    assert rate == 16000
    assert np.abs(samples.astype(int) - wanted[start : start + len(samples)]).max() <= 1
    page.page.wait_for_function(
        "old => document.querySelector('#units-picture img').src !== old", arg=first
    )
    assert "--units DIR" in page.text("units-clips")

    page.page.fill("#units-zoom input[type=number]", "0.5")
    old = page.page.get_attribute("#units-picture img", "src")
    picture = page.page.locator("#units-picture img")
    box = picture.bounding_box()
    picture.click(position={"x": box["width"] * 0.46, "y": box["height"] * 0.6})
    page.page.wait_for_function(
        "old => document.querySelector('#units-picture img').src !== old", arg=old
    )
    told = page.text("units-clips")
    times = [float(t) for t in re.findall(r"here, ([\d.]+) s", told)]
    assert min(abs(t - 1.0) for t in times) < 0.2  # the middle of the axis is at 1 s

    name, data = page.download("units-jsonl")
    assert name.endswith(".jsonl")
    assert json.loads(data.splitlines()[0])
    assert len(page.download("units-csv")[1].splitlines()) == len(values) + 1
    assert page.download("units-km")[1].split() == [str(int(v)).encode() for v in values]


def test_edit(screen, recording, models, x):
    page = screen("edit")
    page.upload(recording)
    page.page.fill("#edit-start input", "0.4")
    page.page.fill("#edit-end input", "0.8")
    page.run()
    model = models["plain"]
    codes = model.encode(x, exact=True)
    twice = torch.cat([codes[..., :40], codes[..., 20:40], codes[..., 40:]], dim=-1)
    with torch.no_grad():
        expected = model.decode(twice)
    heard, _ = page.heard("edit-after")
    assert np.abs(heard.astype(int) - pcm(expected)[: len(heard)]).max() <= 1
    assert abs(len(heard) - expected.shape[-1]) < 320
    page.picture("edit-picture")
    check_same(page.heard("edit-before"), through(model, x))

    after = page.link("edit-after")
    page.page.click("#edit-operation label:has-text('erase')")
    page.run()
    assert len(page.heard("edit-after", after)[0]) == len(heard) - 20 * 320
    page.run("undo")
    page.page.wait_for_selector("text=1 edit that can be taken back")
    page.run("over")
    page.page.wait_for_selector("text=0 edits that can be taken back")
    page.run("undo")
    assert "no edit to take back" in page.error()


def test_voice(screen, recording, models, x):
    page = screen("voice", "voices")
    page.upload(recording)
    page.run()
    model = models["voices"]
    ann, bob = (model.speaker_index([name]) for name in SPEAKERS[:2])
    assert model.num_codebooks == 1
    check_same(page.heard("voice-result"), in_voice(model, x, ann))
    page.picture("voice-picture")
    before = page.link("voice-result")
    page.page.click("#voice-speaker input")
    page.page.click("[role=option]:has-text('bob')")
    page.run()
    check_same(page.heard("voice-result", before), in_voice(model, x, bob))

    page.page.click("text=Choose the voice by a recording")
    page.upload(recording, "voice-reference")  # and the voice is the recording's
    chosen = "name => document.querySelector('#voice-speaker input').value === name"
    page.page.wait_for_function(chosen, arg=HEARD)
    before = page.link("voice-result")
    page.run()
    heard = hear(model, x, model.sample_rate)
    check_same(page.heard("voice-result", before), in_voice(model, x, heard))
    page.run("find-run")
    page.page.wait_for_function(
        "n => document.querySelectorAll('#voice-table [role=row][data-index]').length === n",
        arg=len(SPEAKERS),
    )
    page.page.wait_for_function(chosen, arg=page.table("voice-table")[0][0])


def test_what_is_not_there_is_said(screen):
    page = screen("voice", "layers")
    assert "Choose voices" in page.text("voice-missing")
    page.page.click("#panels button[role=tab]:has-text('Generate')")
    assert "Choose plain" in page.text("generate-missing")
    for button in ("generate-run", "voice-run"):
        assert page.page.locator(f"#{button}").is_disabled()
    assert not page.page.is_visible("text=Choose the voice by a recording")


def test_generate(screen, recording, models, x):
    page = screen("generate")
    page.page.fill("#generate-pieces input[type=number]", "2")
    page.page.fill("#generate-length input[type=number]", "1")
    page.run()
    pieces = [page.heard(f"generate-piece-{n}")[0] for n in (1, 2)]
    assert all(len(piece) == 16000 for piece in pieces)
    assert not page.page.is_visible("#generate-piece-3")
    assert "2 of 2" in page.text("generate-told")

    old = page.link("generate-piece-1")
    page.upload(recording)
    page.page.check("#generate-continue input")
    page.page.fill("#generate-length input[type=number]", "3")
    page.run()
    heard, _ = page.heard("generate-piece-1", old)
    begun = pcm(through(models["plain"], x))
    assert len(heard) == 48000
    assert np.abs(heard[:24000].astype(int) - begun[:24000]).max() <= 1  # beyond, it hears the end


def test_mistakes_are_answered_in_one_line(screen, tmp_path):
    page = screen()
    page.run()
    assert "no recording yet" in page.error()
    assert page.page.locator("#panels .error:visible").count() == 0  # marks would stay
    words = tmp_path / "words.wav"
    words.write_text("this is no sound")
    page.upload(words)
    page.run()
    line = page.error()
    assert "/" not in line
    assert "Traceback" not in line
    long = tmp_path / "long.wav"
    audio.save(long, torch.zeros(1, 1, 6 * 8000), 8000)
    page.page.click("#recording button[aria-label=Clear]")
    page.upload(long)
    page.run()
    assert "5 s" in page.error()


def test_a_microphone_needs_no_ffmpeg(screen, models):
    page = screen()
    page.page.click("#recording button[aria-label='Record audio']")
    page.page.click("#recording button:has-text('Record')")
    page.page.wait_for_timeout(1200)
    page.page.click("#recording button:has-text('Stop') >> visible=true")
    data = page.page.request.get(page.link("recording")).body()
    info = soundfile.info(io.BytesIO(data))
    assert info.format == "WAV"
    page.run()
    samples, rate = page.heard("resynthesise-original")
    assert rate == 16000
    assert 0.3 < len(samples) / rate < 3


def test_an_example_is_one_click(screen):
    page = screen()
    page.page.click("#example-LJ001-0011")
    data = page.page.request.get(page.link("recording")).body()
    assert soundfile.info(io.BytesIO(data)).duration == pytest.approx(4.51, abs=0.01)


def test_the_address_follows_and_is_checked(screen):
    page = screen("units", "layers")
    page.page.click("#panels button[role=tab]:has-text('Edit')")
    page.page.wait_for_function("location.search.includes('panel=edit')")
    page.page.click("#model input")
    page.page.click("[role=option]:has-text('smooth')")
    page.page.wait_for_function("location.search.includes('model=smooth')")
    page.page.goto(page.page.url.replace("smooth", "elsewhere"))
    page.page.wait_for_selector("text=asks for a model that is not here")


@pytest.mark.parametrize(
    ("width", "dark"),
    [
        pytest.param(390, True, id="phone, dark"),
        pytest.param(390, False, id="phone, light", marks=pytest.mark.slow),
        pytest.param(1200, True, id="desk, dark", marks=pytest.mark.slow),
        pytest.param(1200, False, id="desk, light", marks=pytest.mark.slow),
    ],
)
def test_every_panel_fits_and_reads(screen, width, dark, recording, tmp_path):
    page = screen("resynthesise", "layers", width=width, dark=dark)
    page.upload(recording)
    page.run()
    page.picture("resynthesise-codes")
    for panel in ("resynthesise", "compare", "units", "edit", "voice", "generate"):
        page.panel = panel
        page.page.goto(page.page.url.split("?")[0] + f"?panel={panel}&model=plain")
        page.page.wait_for_selector(f"#{panel}-run", state="visible")
        if panel in {"compare", "units"}:  # whose tables are wide
            page.upload(recording)
            page.run()
            page.table(f"{panel}-table")
        assert page.wider_than_page() <= 0
        box = page.page.locator(f"#{panel}-run").bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        for words in (".note p >> nth=0", f"#{panel}-run", "#title h1", "#model span >> nth=0"):
            assert contrast(page.page, words) > 4.5, words
        page.page.screenshot(path=tmp_path / f"{panel}.png", full_page=True)


def contrast(page, selector: str) -> float:
    """Return the contrast of a text to what is behind it, by WCAG 2.1."""
    ink, ground = page.locator(selector).first.evaluate(
        """element => {
          const style = getComputedStyle(element);
          let behind = element;
          while (behind && /, 0\\)$|transparent/.test(getComputedStyle(behind).backgroundColor))
            behind = behind.parentElement;
          const ground = behind ? getComputedStyle(behind).backgroundColor : "rgb(255,255,255)";
          return [style.color, ground];
        }"""
    )
    bright, dim = sorted((luminance(ink), luminance(ground)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def luminance(css: str) -> float:
    assert css.startswith("rgb"), css
    values = [float(v) / 255 for v in css[css.index("(") + 1 : -1].split(",")[:3]]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def test_nothing_is_asked_of_other_servers(screen, server, recording):
    page = screen()
    page.upload(recording)
    page.run()
    page.picture("resynthesise-spectrograms")
    assert {u for u in page.asked if not u.startswith((server.url, "data:", "blob:"))} == set()
    assert len(page.asked) > 20
    assert [c for c in page.complaints if "Content Security" in c] == []


def test_two_visitors_do_not_meet(screen, recording, tmp_path):
    one, other = screen("units"), screen("units")
    one.upload(recording)
    one.run()
    one.table("units-table")
    other.run()
    assert "no recording" in other.error()
