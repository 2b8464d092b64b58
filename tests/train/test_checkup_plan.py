"""Every fault of a config and its corpus is named, and a healthy plan shows none."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from audiovq import config as configs
from audiovq import share
from audiovq.audio import save
from audiovq.data import manifest as manifests
from audiovq.data.manifest import Manifest, Record
from audiovq.data.splits import split_of
from audiovq.errors import ConfigError, ManifestError
from audiovq.train import checkup
from audiovq.train.checks._base import Severity
from audiovq.train.facts import plan as facts
from audiovq.train.facts.gpus import Gpu, Gpus
from audiovq.train.facts.machine import Cores, Disk, Memory
from audiovq.train.facts.plan import Files, Plan, Size
from tests.helpers import noise

GIB, MIB = 1 << 30, 1 << 20
RECIPE = share.load_recipe("train_autoencoder")
SIZE = Size(
    hop_length=320, codebook_sizes=(512,), layout=("codebook 0",), weights=6 * MIB,
    trained=6 * MIB, activations=500 * MIB,
)  # fmt: skip
CARD = Gpu(name="T4", memory=16 * GIB, free=15 * GIB, capability=(7, 5), bf16=False)
ON_GPU = Gpus(build="CUDA 12.8", driver="570.1", usable=True, devices=(CARD,), nccl=True)


def parsed(*overrides, name="autoencoder/vq_ema"):
    values = configs.read_yaml(share.config_path(name))
    return configs.parse(RECIPE.Config, configs.override(values, overrides))


def corpus(seconds=8.0, rate=16000, speakers=60, utterances=4, **changes):
    """Speakers in the splits of their hash; `changes` are fields of every record."""
    records = [
        Record(**{
            "id": f"{s}-{u}", "path": f"{s}-{u}.wav", "sample_rate": rate, "speaker": f"s{s}",
            "num_samples": round(seconds * rate), "split": split_of(f"s{s}"),
        } | changes)
        for s in range(speakers)
        for u in range(utterances)
    ]  # fmt: skip
    return Manifest(Path("speech.jsonl"), Path("/speech"), {}, records)


def edited(manifest, change):
    """Return the manifest with every record's changes, or without it where they are None."""
    new = [(r, change(r)) for r in manifest.records]
    kept = [r.model_copy(update=c) for r, c in new if c is not None]
    return replace(manifest, records=kept)


def plan(*overrides, **changes):
    healthy = {
        "config": parsed(*overrides),
        "manifest": corpus(),
        "cores": Cores(all=8, allowed=8, threads=8),
        "memory": Memory(total=8 * GIB, available=8 * GIB, shared=GIB, shared_free=GIB),
        "gpus": Gpus(),
        "disk": Disk(folder="runs", free=100 * GIB),
        "size": SIZE,
        "files": Files(looked=240),
    }
    return Plan(**(healthy | changes))


def seen(found):
    found = checkup.judged(checkup.PLAN_CHECKS, found)
    for f in found:
        assert f.title
        assert f.figure
        assert f.steps is None
        assert bool(f.advice) == (f.severity != "ok")
    return {f.title: f.severity.value for f in found if f.severity is not Severity.ok}


FEW = (
    "there is little speech to validate on: its figures will go up and down by themselves",
    "warning",
)
CASES = [
    (plan(files=Files(looked=240, missing=("a.wav",))), "audio files are missing", "problem"),
    (
        plan(files=Files(looked=240, wrong=("a.wav has 3 samples",))),
        "audio files are not as the manifest says",
        "problem",
    ),
    (
        plan(manifest=corpus(rate=8000)),
        "recordings are upsampled: their upper frequencies are empty",
        "warning",
    ),
    (
        plan(manifest=corpus(seconds=0.8, utterances=40)),
        "recordings are shorter than the segments: steps are spent on silence",
        "warning",
    ),
    (
        plan(manifest=corpus(seconds=0.4, utterances=80)),
        "recordings are shorter than the segments: steps are spent on silence",
        "problem",
    ),
    (plan(manifest=corpus(split="train")), "there is no validation and no test split", "problem"),
    (plan(manifest=corpus(split=None)), "there is no train and no validation and no test split",
     "problem"),
    (
        plan(manifest=edited(corpus(), lambda r: None if r.split == "validation" else {})),
        "there is no validation split",
        "problem",
    ),
    (
        plan(manifest=edited(corpus(), lambda r: None if r.split == "test" else {})),
        "there is no test split",
        "warning",
    ),
    (
        plan(manifest=edited(corpus(), lambda r: {"split": None} if r.id[-1] == "3" else {})),
        "records have no split",
        "warning",
    ),
    (plan("train.validation_seconds=0.5"), *FEW),
    (plan("train.validation_utterances=1"), *FEW),
    (plan(manifest=corpus(seconds=2.0)), "there is little speech to learn from", "warning"),
    (
        plan(manifest=edited(corpus(), lambda r: {"speaker": f"s{r.id[-1]}"})),
        "speakers are in more than one split: held-out figures are too good",
        "problem",
    ),
    (
        plan(manifest=corpus(speaker=None)),
        "records name no speaker: nobody can tell whether splits share voices",
        "warning",
    ),
    (
        plan(manifest=corpus(speakers=10, utterances=60)),
        "there are few speakers to learn from",
        "warning",
    ),
    (plan(error="no speakers", size=None), "the model cannot be built from this config and corpus",
     "problem"),
    (plan(folder="other settings"), "run.dir cannot be used for this run", "problem"),
    (plan(noise="no such folder"), "the noise to train with is not there", "problem"),
    (plan("data.segment_seconds=0.015"), "segments are too short for the model", "problem"),
    (plan("data.segment_seconds=0.05"), "segments are too short for the model", "warning"),
    (plan("data.batch_size=5000"), "a batch is larger than the corpus", "warning"),
    (
        plan("train.max_steps=20000"),
        "the same speech is heard very often: the model may learn it by heart",
        "warning",
    ),
    (
        plan("train.initialise_batches=2"),
        "there are few frames to cluster the first codebook from",
        "warning",
    ),
    (
        plan("train.initialise_batches=2", size=replace(SIZE, codebook_sizes=(4096,))),
        "there are few frames to cluster the first codebook from",
        "problem",
    ),
    (plan(disk=Disk(folder="runs", free=90 * MIB)), "the disk has no room for checkpoints",
     "warning"),
    (plan(disk=Disk(folder="runs", free=MIB)), "the disk has no room for checkpoints", "problem"),
    (plan(disk=Disk(folder="/", free=GIB, error="denied")), "run.dir cannot be written to",
     "problem"),
    (plan(memory=Memory(available=GIB // 2)), "a training step may not fit into memory", "problem"),
    (
        plan(size=replace(SIZE, activations=20 * GIB), gpus=ON_GPU),
        "a training step may not fit into memory",
        "problem",
    ),
    (
        plan("data.workers=8", memory=Memory(shared=64 * MIB, shared_free=20 * MIB)),
        "shared memory is short: loading workers may die with a bus error",
        "problem",
    ),
    (plan("data.workers=16"), "there are more workers than cores", "warning"),
    (plan("data.workers=0", gpus=ON_GPU), "no worker loads audio: the GPU waits", "warning"),
    (plan(device="train.device=cuda cannot be used"), "the device cannot be used", "problem"),
    (plan("train.device=cpu", gpus=ON_GPU), "a GPU is left idle", "warning"),
    (plan("train.precision=bf16", gpus=ON_GPU), "bf16 is slow here", "warning"),
    (plan("train.precision=bf16"), "bf16 is slow here", "warning"),
]  # fmt: skip


@pytest.mark.parametrize(("found", "title", "severity"), CASES)
def test_a_planted_fault_of_config_or_corpus_is_named(found, title, severity):
    assert seen(found).get(title) == severity


@pytest.mark.parametrize(
    "found",
    [
        plan(),
        plan(gpus=ON_GPU),
        plan("train.precision=bf16", cores=Cores(all=8, allowed=8, threads=8, bf16=True)),
        plan(memory=Memory()),
        plan(manifest=corpus(rate=48000)),
        plan(
            "train.initialise_batches=16",
            size=replace(SIZE, codebook_sizes=(256, 512, 512), layout=("slow", "fast 0", "fast 1")),
        ),
        plan("model.bottleneck=fsq", "train.initialise_batches=1"),  # starts without k-means
    ],
)
def test_a_healthy_plan_shows_nothing(found):
    assert seen(found) == {}


def test_the_speaker_table_is_compared_with_the_corpus():
    def table(names, manifest=None):
        text = f"model.decoder={{name: conv_speaker, speakers: [{','.join(names)}]}}"
        return seen(plan(text, manifest=manifest or corpus()))

    names = sorted({r.speaker for r in corpus().select("train")})
    assert table(names) == {}
    title = "the decoder names speakers that no training record has"
    assert table([*names, "nobody"]) == {title: "problem"}
    assert table(names[1:]) == {"training speakers are not in the decoder's table": "warning"}
    short = table(names, corpus(seconds=4.0))
    assert short["there is little speech of speakers in the decoder's table"] == "warning"


# --------------------------------------------------------------------- facts


@pytest.mark.parametrize("name", [n for n in share.configs() if n.startswith("autoencoder/")])
def test_every_model_is_measured_without_making_it(name):
    config = parsed(name=name)
    if getattr(config.model.decoder, "speakers", None) is not None:
        config = parsed("model.decoder.speakers=[a, b]", name=name)
    size = facts.measure(config.model, config)
    assert size.hop_length > 0
    assert size.weights >= size.trained > 0
    assert size.activations > size.trained


def test_weights_are_counted_as_they_are():
    from audiovq.autoencoder import Autoencoder

    config = parsed(name="autoencoder/smoke")
    model = Autoencoder(config.model)
    size = facts.measure(config.model, config)
    tensors = [*model.parameters(), *model.buffers()]
    assert size.weights == sum(t.numel() * t.element_size() for t in tensors)
    assert size.codebook_sizes == model.codebook_sizes
    twice = parsed("train.monte_carlo_samples=2", name="autoencoder/smoke")
    assert facts.measure(twice.model, twice).activations > 1.7 * size.activations


@pytest.fixture
def speech(tmp_path):
    """Two files that are there, one of another rate than its record says, one that is gone."""
    for name in ("a", "b", "c"):
        save(tmp_path / f"{name}.wav", noise(1, 8000), 16000)
    records = [
        Record(id=n, path=f"{n}.wav", sample_rate=16000, num_samples=8000, speaker=n, split=s)
        for n, s in (("a", "train"), ("b", "validation"), ("c", "test"), ("d", "train"))
    ]
    records[2] = records[2].model_copy(update={"sample_rate": 8000})
    manifests.write(tmp_path / "speech.jsonl", ".", records)
    return tmp_path / "speech.jsonl"


def test_files_are_looked_for_and_a_few_are_opened(speech):
    found = facts.files(manifests.read(speech))
    assert found.looked == 4
    assert found.missing == ("d.wav",)
    assert len(found.wrong) == 1
    assert "16000 Hz" in found.wrong[0]
    assert facts.files(manifests.read(speech), patience=0.0).looked == 1


def test_a_whole_plan_is_looked_at(speech, tmp_path):
    config = parsed(
        f"data.manifest={json.dumps(str(speech))}",
        f"run.dir={json.dumps(str(tmp_path / 'runs' / 'new' / 'vq'))}",
        name="autoencoder/vq_speaker",
    )
    found = checkup.plan(config, "mine")
    assert found.verdict.startswith(f"mine with {speech}: not ready: ")
    titles = {f.title for f in found.findings}
    assert {"audio files are missing", "there is little speech to learn from"} <= titles
    content = json.loads(found.to_json())
    assert content["facts"]["model"]["hop_length"] == 320
    assert content["facts"]["training_records"] == 2
    assert content["facts"]["disk"]["folder"] == str(tmp_path)  # what is there of run.dir
    assert not (tmp_path / "runs").exists()


def test_what_training_would_refuse_is_a_finding(speech, tmp_path):
    at = f"data.manifest={json.dumps(str(speech))}"
    nameless = edited(manifests.read(speech), lambda _: {"speaker": None})
    found = facts.look(parsed(at, name="autoencoder/vq_speaker"), nameless)
    assert found.size is None
    assert "names its speaker" in found.error
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints" / "step-000000001.pt").write_bytes(b"")
    (run / "config.yaml").write_text(yaml.safe_dump({"optim": {"lr": 0.1}}))
    settings = ("data.corruption.noise_folder=nowhere", "train.device=cuda:99")
    found = facts.look(parsed(at, f"run.dir={run}", *settings), manifests.read(speech))
    assert "other settings" in found.folder
    assert "nowhere" in found.noise
    assert "cuda:99" in found.device
    assert "problem" in seen(found).values()
    found = facts.look(parsed(at, f"run.dir={speech}/vq"), manifests.read(speech))
    assert "speech.jsonl is a file" in found.folder


def test_without_a_manifest_or_with_a_bad_one(tmp_path):
    with pytest.raises(ConfigError, match=r"audiovq doctor mine data.manifest"):
        checkup.plan(parsed(), "mine")
    (tmp_path / "m.jsonl").write_text("torn")
    for name in ("m.jsonl", "none.jsonl"):
        with pytest.raises(ManifestError):
            checkup.plan(parsed(f"data.manifest={tmp_path / name}"), "mine")
