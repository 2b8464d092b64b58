import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.signal import lfilter

from audiovq import audio
from audiovq.data import manifest as manifests
from audiovq.data.manifest import Record
from audiovq.errors import ConfigError
from audiovq.voice._phone_judge import HOP, Looker, PhoneJudge, agreement
from audiovq.voice._speaker_judge import Describer, centred, named
from audiovq.voice.evaluate import Options, _movement, evaluate_voice
from audiovq.voice.phones import phone_judge
from audiovq.voice.report import Conversion
from tests.helpers import noise, voices_model

RATE, LENGTH, LONG = 16000, 4000, 20_000
TILTS = {"ann": 0.95, "bob": 0.0, "cem": -0.95}
MODEL = voices_model(reference=True)


def speech(speaker, seed, length=LENGTH):
    """Noise coloured as the speaker: dark in the first half (aa), bright in the second (s)."""
    x = noise(1, length, seed=seed).numpy()
    parts = np.split(x, 2, axis=-1)
    parts = [lfilter([1.0, -t], [1.0], p, axis=-1) for p, t in zip(parts, (-0.9, 0.9), strict=True)]
    y = lfilter([1.0, 0, -TILTS[speaker]], [1.0], np.concatenate(parts, axis=-1), axis=-1)
    return torch.from_numpy(y.astype(np.float32)) * 0.2


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Three speakers with four recordings to learn from, and one to convert; a second of speech."""
    folder, records = tmp_path_factory.mktemp("voices"), []
    half = LONG // 2
    for i, (who, split) in enumerate((w, s) for w in TILTS for s in (*["train"] * 4, "test")):
        audio.save(folder / f"{i}.wav", speech(who, i, LONG), RATE)
        rows = ((0, half, "aa"), (half, LONG, "s")) if split == "test" else ()
        about = {"id": str(i), "path": f"{i}.wav", "sample_rate": RATE, "num_samples": LONG}
        alignment = {"phones": rows} if rows else None
        records.append(Record(**about, speaker=who, split=split, alignment=alignment))
    manifests.write(folder / "corpus.jsonl", ".", records)
    return manifests.read(folder / "corpus.jsonl")


def test_the_speaker_judge_names_who_is_heard_at_any_level():
    describe = Describer(RATE)
    known = [(describe(speech(who, seed)), who) for who in TILTS for seed in range(3)]
    tests = [(describe(speech(who, seed) * 0.1), who) for who in TILTS for seed in (7, 8)]
    heard = named([v for v, _ in known], [w for _, w in known], np.stack([v for v, _ in tests]))
    assert heard == [w for _, w in tests]


def test_what_happens_to_all_vectors_alike_is_taken_out():
    known = np.random.default_rng(0).normal(size=(50, 4)) * [1, 2, 3, 4] + 5
    np.testing.assert_allclose(centred(known * 0.3 - 7, known), known)


def test_frames_are_labelled_at_their_middles_and_told_apart():
    looker = Looker(RATE)
    frames = looker(speech("bob", 0))
    hop = round(HOP * RATE)
    assert len(frames) == LENGTH // hop
    record = Record(
        id="x",
        path="x",
        sample_rate=RATE,
        num_samples=LENGTH,
        alignment={"phones": ((hop, 3 * hop, "ix"), (3 * hop, 3 * hop + hop // 2, "q"))},
    )
    slow = [""] * len(frames)
    for i in range(len(frames)):
        middle = i * hop + hop / 2
        for start, end, label in record.alignment["phones"]:
            if start <= middle < end:
                slow[i] = label.replace("q", "")
    assert looker.labels(record, len(frames)).tolist() == slow
    labels = np.array(["aa"] * 12 + ["s"] * 13, dtype=object)
    judge = PhoneJudge([frames], [labels])
    assert agreement(labels, judge(looker(speech("bob", 1)))) > 0.85


def test_agreement_leaves_pauses_out():
    a, b = (np.array(x, dtype=object) for x in (["sil", "aa", "s", ""], ["aa", "aa", "n", ""]))
    assert agreement(a, b) == 0.5
    assert agreement(a[:1], b[:1]) is None


@pytest.mark.parametrize("by_reference", [False, True])
def test_all_speakers_are_converted_to_all_others(corpus, by_reference):
    options = Options(groups={"ann": "F", "bob": "M", "cem": "M"}, by_reference=by_reference)
    report = evaluate_voice(MODEL, corpus, replace(options, labelled=None))
    assert (report.conversions, list(report.speakers)) == (6, ["ann", "bob", "cem"])
    assert report.figures["original"].value == 1
    assert report.figures["filter_target"].value >= 0.5  # who they are is their filter
    assert {"target", "source", "own", "target_within", "centred_target"} <= set(report.figures)
    assert "same_converted" not in report.figures


def test_movement_is_what_is_left_of_deviations_over_time():
    def row(target, vector):
        return Conversion(id="x", source="ann", target=target, vector=np.array(vector, float))

    rows = [row(None, [5, 6, 2, 4]), row("ann", [1, 1, 1, 1]), row("bob", [9, 9, 9, 9])]
    assert _movement(rows).value == pytest.approx((1 / 2 + 1 / 4) / 2)
    assert _movement(rows[:1]) is None


def test_what_is_said_is_judged_where_phones_are_known(corpus):
    report = evaluate_voice(MODEL, corpus, Options(labelled=corpus))
    figures = report.figures
    assert figures["phones_original"].value > 0.7
    assert 0 <= figures["phones_converted"].value <= 1
    assert 0 <= figures["same_converted"].value <= 1
    assert report.majority == pytest.approx(0.5, abs=0.05)


def test_what_cannot_be_judged(corpus, tmp_path):
    with pytest.raises(ConfigError, match="two of train, validation and test"):
        evaluate_voice(MODEL, corpus, Options(test="train"))
    with pytest.raises(ConfigError, match="0 speakers have recordings in both splits"):
        evaluate_voice(MODEL, corpus, Options(test="validation"))
    unlabelled = [r.model_copy(update={"alignment": None}) for r in corpus.records]
    manifests.write(tmp_path / "m.jsonl", str(corpus.root), unlabelled)
    with pytest.raises(ConfigError, match="phone times of two speakers or more"):
        phone_judge(manifests.read(tmp_path / "m.jsonl"), RATE)


def test_the_command_says_it_and_takes_groups(corpus, tmp_path, run):
    MODEL.save(tmp_path / "model")
    groups, command = tmp_path / "groups.txt", ("evaluate-voice", tmp_path / "model", corpus.path)
    groups.write_text("ann F\nbob M\n")
    code, out, _ = run(*command, "--groups", groups, "--json", "--normalise", "level")
    assert code == 0
    assert json.loads(out)["conversions"] == 6
    groups.write_text("ann F extra\n")
    code, _, error = run(*command, "--groups", groups)
    assert code == 2
    assert "line 1: a speaker and a group are accepted" in error


def test_convert_takes_a_reference(corpus, tmp_path, run):
    MODEL.save(tmp_path / "model")
    source, reference = (corpus.root / f"{i}.wav" for i in (2, 0))
    command = ("convert", tmp_path / "model", source, "--reference", reference)
    assert run(*command, "-o", tmp_path / "a.wav")[0] == 0
    audio.save(tmp_path / "short.wav", speech("ann", 0), RATE)
    assert audio.probe(tmp_path / "a.wav").num_samples == LONG
    code, _, error = run(*command, "--speaker", "ann", "-o", tmp_path / "b.wav")
    assert code == 2
    assert "give recordings and --speaker NAME" in error
    code, _, error = run(*command[:-1], tmp_path / "short.wav", "-o", tmp_path / "b.wav")
    assert code == 2
    assert "short.wav: the reference holds 0.25 s of sound" in error
