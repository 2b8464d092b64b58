"""Extraction by torchrun, and killed hundreds of times: the tree equals the undisturbed one."""

import os
import random
import signal
import subprocess
import time

import pytest

from audiovq import units
from audiovq.audio import save
from audiovq.data import manifest as manifests
from audiovq.data.manifest import Record
from audiovq.units.extract import extract
from tests.figures import tell
from tests.helpers import noise, small_model
from tests.killing import kill_until_done
from tests.train.test_ranks import command, ended, environment, workers

MODEL = small_model()


def tree(folder):
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Sixty noises, one of them no recording."""
    folder, records = tmp_path_factory.mktemp("corpus"), []
    for i in range(60):
        x = noise(1, 700 + 37 * i, seed=i)
        save(folder / f"{i}.wav", x, 16000)
        length = x.shape[-1]
        records.append(Record(id=f"n{i}", path=f"{i}.wav", sample_rate=16000, num_samples=length))
    (folder / "7.wav").write_bytes(b"not audio")
    manifests.write(folder / "m.jsonl", ".", records)
    MODEL.save(folder / "vq")
    return manifests.read(folder / "m.jsonl")


def go(corpus, out):
    extract(MODEL, corpus, out, records_per_shard=2, max_rejected=0.05, threads=2, progress=False)


@pytest.mark.faults
def test_500_kills_change_no_byte(corpus, tmp_path):
    go(corpus, tmp_path / "straight")
    rng, kills, finished = random.Random(0), 0, 0
    while kills < 500:
        out = tmp_path / f"killed{finished}"
        kills += kill_until_done(lambda out=out: go(corpus, out), rng, 0.01)
        finished += 1
        assert tree(out) == tree(tmp_path / "straight")
    tell("SIGKILL of extraction", kills=kills, trees_equal=f"{finished} of {finished}")


@pytest.mark.faults
def test_a_killed_rank_under_torchrun_costs_nothing_but_time(corpus, tmp_path):
    """Five times: one of two processes is killed after some shards, and torchrun restarts both."""
    words = ("-m", "audiovq", "extract", str(corpus.root / "vq"), str(corpus.path))
    words += ("--max-rejected", "0.05", "-o")
    straight = ended([*command(1)[:1], *words, str(tmp_path / "straight")])
    assert straight.returncode == 0, straight.stderr
    rng, kills = random.Random(0), 0
    for i in range(5):
        out = tmp_path / f"killed{i}"
        options = ("--max-restarts=3", "--monitor-interval=0.1")
        call = command(2, *words, str(out), options=options)
        with subprocess.Popen(call, env=environment(), stderr=subprocess.PIPE) as process:
            while process.poll() is None:
                if kills == i and (out / "units.json").is_file() and len(workers(process)) == 2:
                    os.kill(rng.choice(workers(process)), signal.SIGKILL)
                    kills += 1
                time.sleep(0.01)
            assert process.returncode == 0, process.stderr.read()
        ids = [u.id for u in units.load(out)]
        assert sorted(ids) == sorted(r.id for r in corpus.records if r.id != "n7")
        assert tree(out) == tree(tmp_path / "straight")
    tell("SIGKILL of one of two extracting ranks", kills=kills, each_utterance="exactly once")
