"""Fitting: the same centres however often it was interrupted, and errors that say what to do."""

import json
import random
import sys

import pytest
import torch

from audiovq.audio import save
from audiovq.data import manifest as manifests
from audiovq.data.manifest import Record
from audiovq.errors import CheckpointError, ConfigError, ManifestError
from audiovq.units import _kmeans_sample, _lloyd, kmeans_fit
from audiovq.units._kmeans_sample import SAMPLE, draw_frames
from audiovq.units._notes import Notes
from audiovq.units._reservoir import Reservoir
from audiovq.units.features._base import Features
from audiovq.units.features.mfcc import MFCCFeatures
from audiovq.units.kmeans_fit import fit
from tests.helpers import noise
from tests.killing import kill_until_done

FEATURES = MFCCFeatures(16000, 160)


@pytest.fixture
def corpus(tmp_path):
    """Twelve short noises, a third of them for training, and their manifest."""
    records = []
    for i in range(12):
        x = noise(1, 9000 + 137 * i, seed=i, scale=0.05 + 0.03 * i)
        save(tmp_path / f"{i}.wav", x, 16000)
        split = "test" if i % 3 == 2 else "train"
        records.append(
            Record(
                id=f"n{i}",
                path=f"{i}.wav",
                sample_rate=16000,
                num_samples=9000 + 137 * i,
                split=split,
            )
        )
    manifests.write(tmp_path / "m.jsonl", ".", records)
    return manifests.read(tmp_path / "m.jsonl")


def go(corpus, folder, size=12, **changes):
    return fit(FEATURES, corpus, size, folder=folder, **{"progress": False, **changes})


def tree(folder):
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def test_centres_are_means_of_the_training_frames(corpus, tmp_path):
    k = go(corpus, tmp_path / "k")
    frames = torch.cat([FEATURES(corpus.load(r, 16000)) for r in corpus.select("train")])
    about = k.about
    assert (about.frames, about.clustered, about.empty) == (len(frames), len(frames), 0)
    torch.testing.assert_close(k.mean, frames.mean(dim=0), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(k.scale, frames.std(dim=0, correction=0), rtol=1e-4, atol=1e-4)
    codes, rows = k.assign(frames), (frames - k.mean) / k.scale
    means = torch.stack([rows[codes == n].mean(dim=0) for n in range(12)])
    assert float((means - k.centres).norm() / k.centres.norm()) < 0.05  # it stood (almost) still
    cluster = pytest.importorskip("sklearn.cluster")
    theirs = cluster.KMeans(12, n_init=3, random_state=0).fit(rows.numpy()).inertia_ / len(rows)
    assert about.inertia < 1.04 * theirs
    assert set(tree(tmp_path / "k")) == {"kmeans.json", "kmeans.safetensors"}


def test_features_that_are_not_standardised_keep_their_scale(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(MFCCFeatures, "standardise", False)
    k = go(corpus, tmp_path / "k")
    assert torch.equal(k.scale, torch.ones(39))


def test_a_constant_dimension_does_no_harm(corpus, tmp_path):
    class Constant(MFCCFeatures):
        def blocks(self, blocks):
            for piece in super().blocks(blocks):
                piece[:, 3] = 2.5
                yield piece

    k = fit(Constant(), corpus, 4, folder=tmp_path / "k", progress=False)
    assert float(k.scale[3]) == 1.0
    assert bool(torch.isfinite(k.centres).all())


def test_interruptions_and_threads_change_no_byte(corpus, tmp_path, monkeypatch):
    go(corpus, tmp_path / "straight")
    whole = tree(tmp_path / "straight")
    go(corpus, tmp_path / "threads", threads=3)
    assert tree(tmp_path / "threads") == whole
    monkeypatch.setattr(_kmeans_sample, "_SAVE_SECONDS", 0.0)

    def interrupted(owner, name, every, *, after=False):
        """The name raises at every so many calls, before or after its work."""
        real, calls = getattr(owner, name), [0]

        def wrapped(*args, **kwargs):
            calls[0] += 1
            stop = calls[0] % every == 0
            if stop and not after:
                raise KeyboardInterrupt
            result = real(*args, **kwargs)
            if stop:
                raise KeyboardInterrupt
            return result

        return wrapped

    places = [
        (_kmeans_sample, "draw_frames", 5, False),
        (Notes, "write", 2, False),
        (Notes, "write", 2, True),
        (_lloyd, "iterate", 3, True),
        (kmeans_fit.KMeans, "save", 1, True),
    ]
    for number, (owner, name, every, after) in enumerate(places):
        out, stops = tmp_path / f"k{number}", 0
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, interrupted(owner, name, every, after=after))
            for _ in range(80):
                try:
                    go(corpus, out)
                    break
                except KeyboardInterrupt:
                    stops += 1
        go(corpus, out)
        assert stops > 0
        assert tree(out) == whole, (name, after)


@pytest.mark.skipif(sys.platform != "linux", reason="forks a process that has used torch")
def test_kills_change_no_byte(corpus, tmp_path, monkeypatch):
    go(corpus, tmp_path / "straight")
    monkeypatch.setattr(_kmeans_sample, "_SAVE_SECONDS", 0.0)
    rng, kills = random.Random(0), 0
    for i in range(3):
        out = tmp_path / f"killed{i}"
        kills += kill_until_done(lambda out=out: go(corpus, out), rng, 0.02)
        assert tree(out) == tree(tmp_path / "straight")
    assert kills >= 3


def test_finished_work_is_only_read(corpus, tmp_path, monkeypatch):
    k = go(corpus, tmp_path / "k")
    monkeypatch.setattr(kmeans_fit, "draw_sample", None)
    assert torch.equal(go(corpus, tmp_path / "k").centres, k.centres)


def test_another_fit_is_refused_finished_or_not(corpus, tmp_path, monkeypatch):
    go(corpus, tmp_path / "k")
    before = tree(tmp_path / "k")
    for changes, what in (({"size": 9}, "size"), ({"seed": 1}, "seed"), ({"split": "test"}, "spl")):
        with pytest.raises(CheckpointError, match=rf"another k-means .*{what}.* differ"):
            go(corpus, tmp_path / "k", **changes)
    with pytest.raises(CheckpointError, match="features, hop_length differ"):
        fit(MFCCFeatures(), corpus, 12, folder=tmp_path / "k", progress=False)
    assert tree(tmp_path / "k") == before
    monkeypatch.setattr(_lloyd, "seed_centres", None)
    with pytest.raises(TypeError):
        go(corpus, tmp_path / "half")
    with pytest.raises(CheckpointError, match="beginning of other work"):
        go(corpus, tmp_path / "half", seed=1)


def test_a_damaged_beginning_is_refused(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(_lloyd, "seed_centres", None)
    with pytest.raises(TypeError):
        go(corpus, tmp_path / "k")
    path = tmp_path / "k" / SAMPLE
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="is damaged"):
        go(corpus, tmp_path / "k")


def test_a_large_corpus_is_sampled_uniformly(corpus, tmp_path):
    k = go(corpus, tmp_path / "k", size=3, most_frames=100)
    assert (k.about.clustered, k.about.frames) == (100, go(corpus, tmp_path / "l").about.frames)
    chosen = {}

    class Spy(MFCCFeatures):
        """Its features are the number of the frame."""

        dim, standardise = 1, False

        def blocks(self, blocks):
            for piece in super().blocks(blocks):
                yield torch.arange(len(piece)).float().unsqueeze(1)

    sampled = []
    for seed in range(30):
        kept = Reservoir(20, 1)
        for record in corpus.select("train"):
            found = draw_frames(Spy(16000, 160), corpus, kept, record, seed=seed)
            kept.add(found[0], found[1])
            chosen[record.id] = found[2]
        sampled += kept.settle()[1][:, 0].tolist()
    expected = sum(n * (n - 1) / 2 for n in chosen.values()) / sum(chosen.values())
    assert sum(sampled) / len(sampled) == pytest.approx(
        expected, rel=0.08
    )  # over 3 standard errors


def test_long_recordings_are_streamed_and_prefiltered(corpus):
    record = corpus.records[0]
    kept = Reservoir(5, 39)
    first = draw_frames(FEATURES, corpus, kept, record, seed=0)
    assert (len(first[0]), len(first[1])) == (5, 5)
    kept.add(first[0], first[1])
    kept.settle()
    again = draw_frames(FEATURES, corpus, kept, record, seed=0)
    assert len(again[0]) == 4  # only what is lower than the highest kept


def test_mistakes_are_told_in_one_line(corpus, tmp_path):
    def refused(error, what, **changes):
        with pytest.raises(error, match=what) as caught:
            go(corpus, tmp_path / "k", **changes)
        assert "\n" not in str(caught.value)

    refused(ConfigError, "0 centres", size=0)
    refused(ManifestError, "no records of the split 'validation'.*test, train", split="validation")
    refused(ManifestError, r"has \d+ frames .* fewer than the 5000 centres", size=5000)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("...")
    with pytest.raises(CheckpointError, match="something else"):
        go(corpus, tmp_path / "mine")
    (tmp_path / "file").write_text("...")
    with pytest.raises(CheckpointError, match="cannot write"):
        go(corpus, tmp_path / "file")


def test_bad_recordings_are_listed_and_too_many_refused(corpus, tmp_path):
    (tmp_path / "3.wav").write_bytes(b"not audio")
    with pytest.raises(ManifestError, match=r"1 of 8 recordings.*'n3'"):
        go(corpus, tmp_path / "k")
    go(corpus, tmp_path / "k", max_rejected=0.2)
    about = json.loads((tmp_path / "k" / "kmeans.json").read_text())
    assert list(about["rejected"]) == ["n3"]


def test_features_are_abstract():
    with pytest.raises(TypeError):
        Features()


def test_iterations_and_recordings_are_not_done_again(corpus, tmp_path, monkeypatch):
    iterations = go(corpus, tmp_path / "straight").about.iterations
    real, done, drawn = _lloyd.iterate, [], []

    def stopping(*args):
        if len(done) == 4:
            done.append("stopped")
            raise KeyboardInterrupt
        done.append(1)
        return real(*args)

    def draw(*args, **kwargs):
        drawn.append(args[3].id)
        return draw_frames(*args, **kwargs)

    monkeypatch.setattr(_lloyd, "iterate", stopping)
    monkeypatch.setattr(_kmeans_sample, "draw_frames", draw)
    with pytest.raises(KeyboardInterrupt):
        go(corpus, tmp_path / "k")
    go(corpus, tmp_path / "k")
    assert len(drawn) == len(set(drawn)) == 8
    assert done.count(1) == iterations + 1  # the last is only looked at
