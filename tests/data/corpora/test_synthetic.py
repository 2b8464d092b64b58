import hashlib
import importlib.util
import shutil
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest

from audiovq import audio
from audiovq.data import manifest as manifests
from audiovq.data.corpora import _sentences, synthetic
from audiovq.data.prepare import make_corpus, prepare
from audiovq.data.splits import split_of
from audiovq.errors import ConfigError, ManifestError

OPTIONS = ("speakers=6", "utterances=3")
needs_espeak = pytest.mark.skipif(
    importlib.util.find_spec("espeakng_loader") is None, reason="the extra synth is not installed"
)


def digest(root):
    files = sorted(p for p in root.rglob("*") if p.is_file())
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    root = tmp_path_factory.mktemp("spoken") / "speech"
    make_corpus("synthetic", OPTIONS).obtain(root, progress=False)
    return root


@needs_espeak
def test_the_same_settings_speak_the_same_bytes(spoken, tmp_path):
    make_corpus("synthetic", OPTIONS).obtain(tmp_path / "again", progress=False)
    assert digest(tmp_path / "again") == digest(spoken)
    make_corpus("synthetic", (*OPTIONS, "seed=1")).obtain(tmp_path / "other", progress=False)
    assert not set(digest(tmp_path / "other").values()) & set(digest(spoken).values())


@needs_espeak
def test_more_utterances_begin_with_the_same_ones(spoken, tmp_path):
    """One process speaks a voice's sentences in order, so that a longer run extends a shorter."""
    options = ("speakers=2", "utterances=4")
    make_corpus("synthetic", options).obtain(tmp_path / "more", progress=False)
    more, few = digest(tmp_path / "more"), digest(spoken)
    shared = [name for name in more if name in few and name.endswith(".flac")]
    assert len(shared) == 6
    assert all(more[name] == few[name] for name in shared)


@needs_espeak
def test_voices_sentences_and_phones_are_many(spoken):
    found = list(make_corpus("synthetic", OPTIONS).utterances(spoken))
    assert len(found) == 18
    assert len({u.speaker for u in found}) == 6
    assert len({u.text for u in found}) == 18
    phones = {name for u in found for *_, name in u.alignment["phones"]}
    assert len(phones) > 30
    assert not any(c in name for name in phones for c in "\u02c8\u02cc")
    sounds = [audio.load(spoken / u.path) for u in found]
    assert all(1.0 < x.shape[-1] / 16000 < 12.0 for x in sounds)
    assert all(0.05 < float(x.abs().max()) <= 1.0 for x in sounds)


@needs_espeak
def test_phones_tile_the_utterance_and_fit_the_sound(spoken):
    """Sibilants hiss high, vowels hum low, silences are silent."""
    bands: dict[str, list[float]] = {"s": [], "vowel": [], "_": []}
    for u in make_corpus("synthetic", OPTIONS).utterances(spoken):
        x = audio.load(spoken / u.path).flatten().numpy()
        rows = u.alignment["phones"]
        assert rows[0][0] == 0
        assert rows[-1][1] == len(x)
        assert all(a[1] == b[0] and a[2] != b[2] for a, b in pairwise(rows))
        for start, end, name in rows:
            kind = "vowel" if name[0] in "aeiou" else name
            quarter = (end - start) // 4
            middle = x[start + quarter : end - quarter]
            if kind not in bands or len(middle) < 64:
                continue
            if kind == "_":
                bands[kind].append(float(np.sqrt((middle**2).mean())))
            else:
                power = np.abs(np.fft.rfft(middle * np.hanning(len(middle)))) ** 2
                frequencies = np.fft.rfftfreq(len(middle), 1 / 16000)
                bands[kind].append(float((power * frequencies).sum() / power.sum()))
    assert np.median(bands["s"]) > 3500
    assert np.median(bands["vowel"]) < 1500
    assert np.median(bands["_"]) < 1e-3


@needs_espeak
def test_the_default_corpus_keeps_speakers_apart():
    """Twenty voices, as the quickstart takes them, must fill every split."""
    config = synthetic.Config()
    names = {synthetic.voice_name(v) for v in range(config.speakers)}
    assert len(names) == config.speakers
    assert {split_of(n) for n in names} == set(manifests.SPLITS)
    everyone = {synthetic.voice_name(v) for v in range(synthetic.MAX_SPEAKERS)}
    assert len(everyone) == synthetic.MAX_SPEAKERS


@needs_espeak
def test_an_interrupted_run_is_finished_by_the_next(spoken, tmp_path):
    shutil.copytree(spoken, tmp_path / "half")
    (tmp_path / "half" / "synthetic.json").unlink()
    for path in list((tmp_path / "half").rglob("*.flac"))[::2]:
        path.unlink()
    make_corpus("synthetic", OPTIONS).obtain(tmp_path / "half", progress=False)
    assert digest(tmp_path / "half") == digest(spoken)


@needs_espeak
def test_what_is_there_is_not_spoken_again_and_nothing_else_is_overwritten(spoken, monkeypatch):
    def fail(*_):
        raise AssertionError

    before = digest(spoken)
    monkeypatch.setattr(synthetic, "_run_espeak", fail)
    make_corpus("synthetic", OPTIONS).obtain(spoken, progress=False)
    with pytest.raises(ManifestError, match="holds something else than the synthetic corpus"):
        make_corpus("synthetic", ("speakers=5",)).obtain(spoken, progress=False)
    assert digest(spoken) == before


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ManifestError, match="choose an empty folder"):
        prepare("synthetic", tmp_path, tmp_path / "m.jsonl", progress=False)
    assert (tmp_path / "thesis.tex").exists()


def test_without_the_extra_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(ConfigError, match=r'pip install "audiovq\[synth\]"'):
        make_corpus("synthetic", OPTIONS).obtain(tmp_path / "s", progress=False)


@needs_espeak
def test_a_crash_of_the_child_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic, "_ACCENTS", ("xx-nowhere",))
    with pytest.raises(ConfigError, match=r"espeak-ng failed for the voice xx-nowhere\+m1: "):
        make_corpus("synthetic", OPTIONS).obtain(tmp_path / "s", progress=False)


def test_a_damaged_index_is_one_line(tmp_path):
    corpus = make_corpus("synthetic")
    corpus.fake(tmp_path / "s")
    index = tmp_path / "s" / "synthetic.json"
    index.write_bytes(index.read_bytes()[:50])
    with pytest.raises(ManifestError, match=r"synthetic\.json is damaged"):
        list(corpus.utterances(tmp_path / "s"))


def test_sentences_are_seeded_and_varied():
    one = _sentences.sentences(300, seed=1)
    assert one == _sentences.sentences(300, seed=1)
    assert one[:50] == _sentences.sentences(50, seed=1)
    assert one != _sentences.sentences(300, seed=2)
    assert len(set(one)) > 290
    words = {w.strip(".,?!").lower() for s in one for w in s.split()}
    assert len(words) >= 150


def test_audiovq_does_not_load_the_gpl_library():
    code = "import audiovq.data.corpora.synthetic, sys; print('espeakng_loader' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
