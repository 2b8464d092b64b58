import dataclasses
import json

import numpy as np
import pytest
import torch

from audiovq.errors import ConfigError
from audiovq.eval import anchors, listening
from audiovq.eval.comparison import Comparison
from audiovq.eval.evaluate import evaluate_systems
from audiovq.eval.plugged import Judge, Verdict
from audiovq.eval.systems import ModelSystem
from tests.eval.test_evaluate import CHEAP, RATE, corpus
from tests.helpers import small_model


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return corpus(tmp_path_factory.mktemp("corpus"), length=4000)


class Fixed(Judge):
    """Says what it is told, by utterance and system."""

    names = ("wer", "speaker_similarity")
    about = {"speaker_model": "fixed"}  # noqa: RUF012

    def __call__(self, record, x, x_hats, sample_rate):
        assert sample_rate == RATE
        n = int(record.id[1:])
        rates = [10.0 * n, 10.0 * n + 5 * (n % 3)]
        return [
            Verdict({"wer": w, "speaker_similarity": 0.5 if n else "none"}, {"words": n + 1})
            for w in (*rates, 0.0)[: len(x_hats)]
        ]

    def refuse(self, reason):
        return Verdict(dict.fromkeys(self.names, reason))


@pytest.fixture(scope="module")
def found(manifest):
    systems = [
        ModelSystem(small_model(), "a"),
        ModelSystem(small_model(seed=4), "b"),
        *anchors.parse(["pcm:16"], RATE),
    ]
    return evaluate_systems(
        systems, manifest, metrics=CHEAP, judges=[Fixed()], examples=2, progress=False
    )


def test_differences_are_paired_by_utterance(found):
    table = {(d.label, d.name): d for d in found.differences()}
    a, b = (found[k].utterances for k in "ab")
    expected = np.mean([y["si_sdr"] - x["si_sdr"] for x, y in zip(a, b, strict=True)])
    d = table["b", "si_sdr"]
    assert d.value == pytest.approx(expected)
    assert d.low <= d.value <= d.high
    assert d.count == 12
    own = found["b"].value("si_sdr")
    assert d.high - d.low < 2 * (own.high - own.low)
    pcm = table["16-bit original", "log_mel_distance"]
    assert pcm.verdict == "better"
    assert ("a", "si_sdr") not in table


def test_word_errors_are_weighed_by_words(found):
    words = np.arange(12) + 1
    b = 10 * np.arange(12) + 5 * (np.arange(12) % 3)
    assert found["b"]["wer"] == pytest.approx(np.average(b, weights=words))
    (d,) = (d for d in found.differences() if (d.label, d.name) == ("b", "wer"))
    assert d.value == pytest.approx(np.average(5 * (np.arange(12) % 3), weights=words))
    assert d.verdict == "worse"


def test_utterances_that_one_lacks_are_left_out(found):
    rows = [{**r, "si_sdr": None} if i < 4 else r for i, r in enumerate(found["b"].utterances)]
    less = Comparison([found["a"], dataclasses.replace(found["b"], utterances=rows)])
    (d,) = (d for d in less.differences() if d.name == "si_sdr")
    assert d.count == 8
    (s,) = (d for d in found.differences() if (d.label, d.name) == ("b", "speaker_similarity"))
    assert (s.count, s.value, s.verdict) == (11, 0.0, "")


def test_json_is_whole_and_strict(found):
    plain = json.loads(found.to_json(), parse_constant=pytest.fail)
    assert plain["format"] == "audiovq.comparison"
    assert list(plain["systems"]) == ["a", "b", "16-bit original"]
    assert plain["systems"]["a"]["rate"] == 6400
    assert plain["systems"]["16-bit original"]["rate"] == pytest.approx(16 * RATE)
    assert plain["compared_to"] == "a"
    protocol = plain["systems"]["a"]["protocol"]
    assert protocol["resampler"].startswith("soxr ")
    assert protocol["resampler"].endswith(" HQ")
    assert protocol["versions"]["pesq"]
    assert protocol["speaker_model"] == "fixed"
    one = Comparison(found.reports[:1])
    assert json.loads(one.to_json())["format"] == "audiovq.evaluation"


def test_the_table_has_rates_and_marks_clear_differences(found):
    text = found.table()
    lines = text.splitlines()
    assert lines[0] == "3 systems on test: 12 utterances"
    assert any(line.startswith("a  ") and "6,400" in line for line in lines)
    assert any(line.startswith("16-bit original") and "*" in line for line in lines)
    assert "0.500 (n=11)" in text
    assert sum("intervals of means" in line for line in lines) == 1
    assert found.best() <= {(i, j) for i in (0, 1) for j in range(12)}


def test_the_page_has_every_system_to_look_at_and_listen_to(found, tmp_path):
    listening.write(tmp_path / "page.html", found)
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert html.count("<audio") == 2 * 4
    assert html.count("data:image/png") == 2
    for word in ("a \u00b7 6,400 bit/s", "Differences from a", "soxr", "16-bit original"):
        assert word in html
    assert len(found.sounds) == 2
    for sounds in found.sounds.values():
        assert list(sounds) == ["original", "a", "b", "16-bit original"]


@torch.no_grad()
def test_a_system_of_another_rate_is_resampled(manifest):
    other = small_model()
    other.sample_rate = 8000
    systems = [ModelSystem(small_model(), "a"), ModelSystem(other, "low")]
    found = evaluate_systems(systems, manifest, metrics=CHEAP, examples=1, progress=False)
    assert any("resampled from 8000 to 16000 Hz" in n for n in found["low"].notes)
    (sounds,) = found.sounds.values()
    assert sounds["low"].shape == sounds["original"].shape
    spectrum = torch.fft.rfft(sounds["low"][0, 0]).abs()
    assert spectrum[len(spectrum) * 3 // 5 :].max() < 0.01 * spectrum.max()


def test_what_cannot_be_compared_is_refused(manifest):
    from audiovq.data.corruption import CorruptionConfig

    same = [ModelSystem(small_model(), "a"), ModelSystem(small_model(seed=4), "a")]
    with pytest.raises(ConfigError, match="two systems are called 'a'"):
        evaluate_systems(same, manifest, metrics=CHEAP, progress=False)
    other = small_model()
    other.sample_rate = 8000
    both = [ModelSystem(small_model(), "a"), ModelSystem(other, "b")]
    with pytest.raises(ConfigError, match=r"\[8000, 16000\] Hz cannot hear the same noise"):
        evaluate_systems(both, manifest, corruption=CorruptionConfig(gaussian=1.0), progress=False)


def test_examples_are_of_different_speakers(manifest):
    found = evaluate_systems(
        [ModelSystem(small_model(), "a")], manifest, metrics=(), examples=6, progress=False
    )
    speakers = [r["speaker"] for r in found["a"].utterances if r["id"] in found.sounds]
    assert sorted(speakers) == [f"s{i}" for i in range(6)]
