import json
from collections import Counter

import numpy as np
import pytest
import torch

from audiovq import audio
from audiovq.data import manifest as manifests
from audiovq.data.corruption import Corruption, CorruptionConfig, fixed_key
from audiovq.data.manifest import Record
from audiovq.errors import AudioError, ConfigError, ManifestError
from audiovq.eval import measure
from audiovq.eval.evaluate import DEFINITIONS, evaluate
from audiovq.eval.reconstruction import si_sdr
from audiovq.eval.streams import side_by_side
from audiovq.eval.values import METRICS
from tests.helpers import noise, small_model

RATE = 16000
CHEAP = ("log_mel_distance", "si_sdr")


def corpus(folder, *, speakers=6, each=2, length=2000, extra=()):
    """A manifest of noises, two per speaker, of slightly different lengths."""
    folder.mkdir(parents=True, exist_ok=True)
    records = []
    for i in range(speakers * each):
        size = length + 37 * i
        audio.save(folder / f"{i}.wav", noise(1, size, seed=i), RATE)
        records.append(
            Record(
                id=f"u{i}", path=f"{i}.wav", sample_rate=RATE, num_samples=size,
                speaker=f"s{i % speakers}", split="test",
            )
        )  # fmt: skip
    manifests.write(folder / "m.jsonl", ".", [*records, *extra])
    return folder / "m.jsonl"


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def report(manifest):
    return evaluate(small_model(), manifest, metrics=CHEAP, progress=False)


def test_figures_equal_those_of_a_plain_loop(manifest, report):
    model = small_model()
    corpus = manifests.read(manifest)
    scores, counts, seconds = [], Counter(), 0.0
    for record in corpus.records:
        x = corpus.load(record, RATE)
        codes = model.encode(x)
        scores.append(si_sdr(x, model.decode(codes, x.shape[-1])))
        counts.update(codes.flatten().tolist())
        seconds += x.shape[-1] / RATE
    p = np.array(list(counts.values())) / counts.total()
    bits = -(p * np.log2(p)).sum()
    assert report["si_sdr"] == pytest.approx(np.mean(scores), rel=1e-4)
    assert report["usage"] == len(counts) / 16
    assert report["perplexity"] == pytest.approx(2**bits)
    assert report["unigram_bitrate"] == pytest.approx(counts.total() / seconds * bits)
    assert report["bitrate"] == model.bitrate == 1600 * 4
    assert report.counts == [[counts[n] for n in range(16)]]


def test_every_mean_has_an_interval_over_speakers(report):
    for name in (*CHEAP, "usage", "perplexity", "entropy", "unigram_bitrate"):
        value = report.value(name)
        assert value.low <= value.value <= value.high, name
        assert value.interval.endswith("over 6 speakers"), name
    assert report.value("encode_rtf").interval == "bootstrap over 12 utterances"
    assert report["encode_rtf"] > 0
    assert report["decode_rtf"] > 0
    assert report["peak_memory"] > 50


def test_rows_say_what_each_utterance_gave(report):
    assert len(report.utterances) == 12
    row = report.utterances[3]
    assert set(row) == {"id", "speaker", "seconds", *CHEAP, "encode_rtf", "decode_rtf"}
    assert np.mean([r["si_sdr"] for r in report.utterances]) == pytest.approx(report["si_sdr"])


def test_json_is_whole_and_strict(report):
    plain = json.loads(report.to_json(), parse_constant=pytest.fail)
    assert plain["format"] == "audiovq.evaluation"
    assert plain["values"]["usage"]["value"] == report["usage"]
    assert plain["values"]["usage"]["definition"] == METRICS["usage"].definition
    assert plain["model"]["fingerprint"] == small_model().fingerprint()
    assert plain["data"] | {"manifest": 0, "manifest_fingerprint": 0} == {
        "manifest": 0, "manifest_fingerprint": 0, "split": "test", "utterances": 12, "of": 12,
        "speakers": 6, "hours": pytest.approx((12 * 2000 + 37 * 66) / RATE / 3600),
    }  # fmt: skip
    assert {"device", "cpu", "threads", "torch"} <= set(plain["machine"])


def test_table_is_aligned_and_says_what_it_is(report):
    lines = report.table().splitlines()
    assert lines[0].startswith("vq_ema (")
    assert "12 utterances, 6 speakers, 0.00 h" in lines[0]
    figures = [line for line in lines if "[" in line]
    assert len({line.index("]") for line in figures}) == 1
    assert any(line.startswith("- intervals of means") for line in lines)
    assert set(DEFINITIONS) == set(METRICS)


def test_a_continuous_model_has_no_codebook_figures(manifest):
    report = evaluate(small_model("identity"), manifest, metrics=CHEAP, progress=False)
    assert {v.name for v in report.values} == {*CHEAP, "encode_rtf", "decode_rtf", "peak_memory"}
    assert report.counts == []
    json.loads(report.to_json())
    assert report.table()


def test_evaluation_changes_nothing_and_repeats(manifest):
    model = small_model().train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    state = torch.get_rng_state()
    a, b = (evaluate(model, manifest, metrics=CHEAP, progress=False) for _ in range(2))
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    timed = {"encode_rtf", "decode_rtf", "peak_memory"}
    assert [v for v in a.values if v.name not in timed] == [
        v for v in b.values if v.name not in timed
    ]


def test_long_utterances_are_streamed_to_the_same_figures(manifest, report, monkeypatch):
    monkeypatch.setattr(measure, "LONG_SECONDS", 0.05)
    streamed = evaluate(small_model(), manifest, metrics=CHEAP, progress=False)
    assert streamed.counts == report.counts
    assert streamed["perplexity"] == report["perplexity"]
    assert "encode_rtf" not in streamed
    assert any("were streamed" in note for note in streamed.notes)


@pytest.mark.parametrize(("blocks", "size"), [([4000], 900), ([7] * 30, 1000), ([1, 3999], 4000)])
def test_streams_stay_side_by_side(blocks, size):
    class Late:
        """Answers with a delay, in other block sizes, twice what it heard."""

        def parameters(self):
            yield torch.zeros(1)

        def reconstruct_blocks(self, parts):
            held = torch.zeros(1, 1, 0)
            for part in parts:
                held = torch.cat([held, part], dim=-1)
                while held.shape[-1] > 500:
                    yield 2 * held[..., :333]
                    held = held[..., 333:]
            yield 2 * held

    x = noise(1, sum(blocks))
    pairs = list(side_by_side(Late(), x.split(blocks, dim=-1), size))
    assert torch.equal(torch.cat([a for a, _ in pairs], dim=-1), x)
    assert all(torch.equal(2 * a, b) for a, b in pairs)
    assert all(a.shape[-1] == size for a, _ in pairs[:-1])


def test_silence_is_counted_with_its_reason_and_spoils_no_mean(tmp_path):
    audio.save(tmp_path / "silent.wav", torch.zeros(1, 1, 5000), RATE)
    silent = Record(
        id="silent", path="silent.wav", sample_rate=RATE, num_samples=5000, speaker="s0",
        split="test",
    )  # fmt: skip
    path = corpus(tmp_path, extra=[silent])
    report = evaluate(small_model(), path, metrics=("si_sdr",), progress=False)
    assert report.undefined == {"si_sdr": {"the original is silent": 1}}
    assert report.value("si_sdr").count == 12
    assert report.utterances[-1]["si_sdr"] is None
    assert any("SI-SDR is not defined for 1 utterances" in note for note in report.notes)


def test_unreadable_utterances_stop_it_unless_allowed(tmp_path):
    path = corpus(tmp_path)
    (tmp_path / "3.wav").write_bytes(b"RIFF but not really")
    with pytest.raises(AudioError, match=r"1 of 12 utterances .*3\.wav.*max_rejected"):
        evaluate(small_model(), path, metrics=CHEAP, progress=False)
    report = evaluate(small_model(), path, metrics=CHEAP, max_rejected=0.2, progress=False)
    assert [r["id"] for r in report.rejected] == ["u3"]
    assert len(report.utterances) == 11
    assert any(note.startswith("1 utterances left out, the first u3") for note in report.notes)
    for i in range(12):
        (tmp_path / f"{i}.wav").unlink()
    with pytest.raises(AudioError, match="none of the 12 utterances"):
        evaluate(small_model(), path, metrics=CHEAP, max_rejected=1.0, progress=False)


def test_a_sample_of_utterances_is_the_same_every_time(manifest):
    a = evaluate(small_model(), manifest, metrics=CHEAP, max_utterances=4, progress=False)
    b = evaluate(small_model(), manifest, metrics=CHEAP, max_utterances=4, progress=False)
    assert [r["id"] for r in a.utterances] == [r["id"] for r in b.utterances]
    assert len(a.utterances) == 4
    assert a.value("si_sdr").interval.endswith("4 utterances")
    assert any("4 of 12 utterances" in note for note in a.notes)


def test_one_utterance_has_figures_but_no_intervals(manifest):
    report = evaluate(small_model(), manifest, metrics=CHEAP, max_utterances=1, progress=False)
    assert all(v.low is None and v.interval == "" for v in report.values)


def test_what_cannot_be_evaluated_is_refused(manifest):
    with pytest.raises(ManifestError, match=r"no records in the split 'train'; it has .*test"):
        evaluate(small_model(), manifest, split="train", progress=False)
    with pytest.raises(ConfigError, match="no measure named"):
        evaluate(small_model(), manifest, metrics=["mos"], progress=False)
    with pytest.raises(ConfigError, match="max_utterances"):
        evaluate(small_model(), manifest, max_utterances=0, progress=False)


def test_train_counts_give_the_coded_bitrate(manifest, report):
    again = evaluate(
        small_model(), manifest, metrics=(), train_counts=np.array(report.counts), progress=False
    )
    assert again["coded_bitrate"] == pytest.approx(again["unigram_bitrate"], rel=0.01)
    assert again["coded_bitrate"] >= again["unigram_bitrate"]


@torch.no_grad()
def test_a_vae_is_measured_by_samples_at_the_rate_they_cost(manifest):
    model = small_model({"name": "vae", "dim": 6})
    report = evaluate(model, manifest, metrics=CHEAP, progress=False)
    corpus = manifests.read(manifest)
    bits, seconds, scores = 0.0, 0.0, []
    for record in corpus.records:
        x = corpus.load(record, RATE)
        out = model(x, keys=torch.tensor([fixed_key(record.id)]))
        assert not torch.equal(out.x_hat, model.reconstruct(x))
        scores.append(si_sdr(x, out.x_hat))
        padded = torch.nn.functional.pad(x, (0, -x.shape[-1] % 10))
        mean, log_variance = model.encoder(padded).chunk(2, 1)
        posterior = torch.distributions.Normal(mean, (log_variance / 2).exp())
        prior = torch.distributions.Normal(0.0, 1.0)
        bits += float(torch.distributions.kl_divergence(posterior, prior).sum()) / np.log(2)
        seconds += x.shape[-1] / RATE
    assert report["kl_bitrate"] == pytest.approx(bits / seconds, rel=1e-4)
    assert report["si_sdr"] == pytest.approx(np.mean(scores), abs=1e-4)
    assert any("samples of the posterior" in note for note in report.notes)


@torch.no_grad()
def test_noise_is_heard_by_the_model_and_not_by_the_target(manifest):
    model = small_model()
    config = CorruptionConfig(gaussian=1.0, gaussian_snr_db=(10.0, 10.0))
    report = evaluate(model, manifest, metrics=CHEAP, corruption=config, progress=False)
    again = evaluate(model, manifest, metrics=CHEAP, corruption=config, progress=False)
    assert report["si_sdr"] == again["si_sdr"]
    assert report["input_si_sdr"] == pytest.approx(10.0, abs=0.1)
    corpus = manifests.read(manifest)
    scores = []
    for record in corpus.records:
        x = corpus.load(record, RATE)
        heard = Corruption(config, RATE)(x, fixed_key(record.id))
        scores.append(si_sdr(x, model.decode(model.encode(heard), x.shape[-1])))
    assert report["si_sdr"] == pytest.approx(np.mean(scores), abs=1e-6)
    assert any("corrupted speech" in note for note in report.notes)
    assert "input_si_sdr" not in evaluate(model, manifest, metrics=CHEAP, progress=False)
