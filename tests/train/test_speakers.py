"""The recipe with a decoder that is told who speaks: names, resuming, held-out speakers."""

import pytest
import torch
import yaml

import audiovq
from audiovq.autoencoder import AutoencoderConfig
from audiovq.config import parse
from audiovq.data import manifest as manifests
from audiovq.decoders._speaker_table import MAX_SPEAKERS
from audiovq.errors import ConfigError, ManifestError
from audiovq.train.speakers import condition_of, name_speakers
from audiovq.train.trackers.lines import read_log
from tests.helpers import small_model, voices_model
from tests.test_recipes import RECIPE, fingerprint, settings

VOICED = "model.decoder={name: conv_speaker, speaker_dim: 4, conv: {channels: 2}}"


def train(manifest, folder, *changes):
    config = settings(manifest.path, folder, VOICED, *changes)
    RECIPE.main(config)


def rewritten(speech_manifest, tmp_path, change):
    """The manifest with each record changed."""
    path = tmp_path / "other.jsonl"
    manifests.write(path, str(speech_manifest.root), map(change, speech_manifest.records))
    return manifests.read(path)


def speaker_config(**values):
    return parse(AutoencoderConfig, {"decoder": {"name": "conv_speaker", **values}})


def test_the_training_speakers_are_filled_in_and_only_where_asked_for(speech_manifest):
    names = {r.speaker for r in speech_manifest.select("train")}
    assert name_speakers(speaker_config(), speech_manifest).decoder.speakers == tuple(sorted(names))
    given, plain = speaker_config(speakers=["x"]), AutoencoderConfig()
    assert name_speakers(given, speech_manifest) is given
    assert name_speakers(plain, speech_manifest) is plain


def test_a_corpus_without_speakers_or_with_too_many_is_refused(speech_manifest, tmp_path):
    without = rewritten(speech_manifest, tmp_path, lambda r: r.model_copy(update={"speaker": None}))
    with pytest.raises(ManifestError, match="none of .* training records names its speaker"):
        name_speakers(speaker_config(), without)
    record = speech_manifest.select("train")[0]
    many = [record.model_copy(update={"speaker": str(i)}) for i in range(MAX_SPEAKERS + 1)]
    crowd = manifests.Manifest(speech_manifest.path, speech_manifest.root, {}, many)
    with pytest.raises(ConfigError, match=r"model\.decoder: speakers: .*at most 10000"):
        name_speakers(speaker_config(), crowd)


def test_the_condition_of_a_batch():
    assert condition_of(small_model(), ["ann", None]) is None
    assert condition_of(voices_model(), ["bob", None, "held out"]).tolist() == [2, 0, 0]


def test_training_learns_voices_and_goes_on_bit_for_bit(speech_manifest, tmp_path):
    train(speech_manifest, tmp_path / "straight", "train.max_steps=6", "log.snapshots=1")
    train(speech_manifest, tmp_path / "broken", "train.max_steps=3", "log.snapshots=1")
    train(speech_manifest, tmp_path / "broken", "train.max_steps=6", "log.snapshots=1")
    assert fingerprint(tmp_path / "straight") == fingerprint(tmp_path / "broken")
    names = sorted({r.speaker for r in speech_manifest.select("train")})
    stored = yaml.safe_load((tmp_path / "straight" / "config.yaml").read_text())
    assert stored["model"]["decoder"]["speakers"] == names
    model = audiovq.load(tmp_path / "straight")
    assert list(model.speakers) == names
    assert "validation/mel" in read_log(tmp_path / "straight" / "log.jsonl")[-1]
    codes = torch.arange(6).view(1, 1, -1) % 16
    voices = [model.decode(codes, condition=model.speaker_index([n])) for n in names[:2]]
    assert not torch.equal(*voices)


def test_a_run_does_not_go_on_with_other_speakers(speech_manifest, tmp_path):
    train(speech_manifest, tmp_path / "run", "train.max_steps=2")
    other = rewritten(
        speech_manifest, tmp_path, lambda r: r.model_copy(update={"speaker": f"{r.speaker}x"})
    )
    with pytest.raises(ConfigError, match=r"\(model.decoder.speakers: .* then, .* now"):
        train(other, tmp_path / "run", "train.max_steps=3")


@pytest.mark.parametrize("held_out", [True, False])
def test_each_segment_is_its_own_speakers_and_held_out_ones_are_anyone(
    speech_manifest, tmp_path, monkeypatch, held_out
):
    from audiovq.autoencoder import Autoencoder
    from audiovq.data.loader import Loader

    known = speech_manifest.select("train")[0].speaker

    def rename(record):  # a corpus of few speakers is split by utterance, and knows them all
        named = "nobody" if held_out else known
        return record.model_copy(update={"speaker": named} if record.split == "validation" else {})

    trained, validated, drawn = [], [], []
    real, real_batches = Autoencoder.forward, Loader.batches

    def forward(self, x, lengths=None, keys=None, condition=None):
        if condition is not None:  # else the codebook is being clustered
            (trained if torch.is_grad_enabled() else validated).extend(condition.tolist())
        return real(self, x, lengths, keys, condition)

    def batches(self, step, part):
        for batch in real_batches(self, step, part):
            drawn.extend(batch.speakers)
            yield batch

    monkeypatch.setattr(Autoencoder, "forward", forward)
    monkeypatch.setattr(Loader, "batches", batches)
    manifest = rewritten(speech_manifest, tmp_path, rename)
    train(manifest, tmp_path / "run", "train.max_steps=3", "data.workers=0")
    model = audiovq.load(tmp_path / "run")
    assert "nobody" not in model.speakers
    clustered = 2 * 2  # two batches of two, before the first step
    assert trained == model.speaker_index(drawn[clustered : clustered + 6]).tolist()
    assert set(validated) == ({0} if held_out else set(model.speaker_index([known]).tolist()))
