"""The nats of every code as a file: read back without audiovq, they add up."""

import json
import random

import numpy as np
import pytest
import torch

from audiovq.errors import ConfigError
from audiovq.eval import prior_codes
from audiovq.eval.prior_score import score
from audiovq.units.sequences import read_split
from tests.prior.test_release import made
from tests.units.made import made_units


def read(path):
    if path.suffix == ".parquet":
        return pytest.importorskip("pyarrow.parquet").read_table(path).to_pylist()
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_what_is_read_back_is_what_each_code_costs(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(prior_codes, "_GROUP", 4)
    units, trained = made_units(random.Random(0), (6, 4)), made()
    sequences = read_split(units, "train")
    path = tmp_path / f"codes.{kind}"
    with prior_codes.writing(path, sequences, "abc") as add:
        found = score(trained, sequences, "train", "units", add)
    rows = read(path)
    assert [row["id"] for row in rows] == list(sequences.ids)
    for row, utterance in zip(rows, found.utterances, strict=True):
        record = units[row["id"]]
        assert row["codes"] == record.codes.tolist()
        assert (row["speaker"], row["num_samples"]) == (record.speaker, record.num_samples)
        assert row["prior"] == "abc"
        nats = np.array(row["nats"], np.float32)  # as written, to the last bit
        assert float(nats.sum(dtype=np.float64)) == utterance.nats
        label = trained.label_index([record.speaker])
        from audiovq.prior._base import Condition

        alone = -trained.module.log_prob(record.codes[None], None, Condition(label=label))
        assert torch.allclose(torch.from_numpy(nats), alone[0].detach(), atol=1e-5)


def test_a_failure_leaves_the_old_file(tmp_path):
    sequences = read_split(made_units(random.Random(0), (6, 4)), "train")
    path = tmp_path / "codes.jsonl"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), prior_codes.writing(path, sequences, "abc") as add:
        add(0, np.zeros((2, 3), np.float32))
        _ = 1 / 0
    assert [p.name for p in tmp_path.iterdir()] == ["codes.jsonl"]
    assert path.read_text() == "old"


def test_names_that_cannot_be_written(tmp_path):
    (tmp_path / "f.jsonl").mkdir()
    for name, message in (
        ("x.csv", "ends in .jsonl or .parquet"),
        ("no/x.jsonl", "there is no folder"),
        ("f.jsonl", "is a folder"),
    ):
        with pytest.raises(ConfigError, match=message):
            prior_codes.check(tmp_path / name)
