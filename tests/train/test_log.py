import contextlib
import json

import pytest
import torch

from audiovq.bottlenecks._base import Statistics
from audiovq.errors import NonFiniteError
from audiovq.train.log import Log, LogConfig
from audiovq.train.trackers.lines import read_log
from tests.helpers import noise

QUIET = LogConfig(progress=False)


def test_a_line_is_the_mean_of_its_window(tmp_path):
    log = Log(tmp_path, QUIET, 0, 10)
    for value in (1.0, 2.0, 6.0):
        log.step({"loss": torch.tensor(value)}, {}, Statistics(sums={"count": torch.ones(2)}))
    assert log.statistics.sums["count"].tolist() == [3.0, 3.0]
    log.flush(3, lr=0.5)
    log.step({"loss": torch.tensor(5.0)}, {}, None)
    log.flush(4)
    assert log.statistics is None
    entries = read_log(log.path)
    assert all(e.pop("train/seconds_per_step") > 0 for e in entries)
    assert entries == [
        {"step": 3, "train/loss": 3.0, "lr": 0.5},
        {"step": 4, "train/loss": 5.0},
    ]


def test_going_on_drops_later_lines_and_a_torn_one(tmp_path):
    lines = [json.dumps({"step": s, "x": s}) for s in (1, 2, 3)]
    (tmp_path / "log.jsonl").write_text("\n".join(lines) + '\n{"step": 4, "x"')
    Log(tmp_path, QUIET, 2, 10).close()
    assert [e["step"] for e in read_log(tmp_path / "log.jsonl")] == [1, 2]
    assert (tmp_path / "log.jsonl").read_text().endswith("\n")


def test_snapshots_are_sounds_and_pictures(tmp_path):
    log, x = Log(tmp_path, QUIET, 0, 10), noise(1, 8000)
    log.snapshot(5, "a/b c", x, x * 0.5, 16000)
    names = sorted(p.name for p in (tmp_path / "snapshots").iterdir())
    assert names == [
        "a_b_c-0af99a.original.wav",
        "a_b_c-0af99a.step-000000005.png",
        "a_b_c-0af99a.step-000000005.wav",
    ]


def test_a_figure_that_some_steps_lack_is_the_mean_of_those_that_have_it(tmp_path):
    log = Log(tmp_path, QUIET, 0, 10)
    for step in range(4):
        late = {"late": torch.tensor(3.0 + step)} if step >= 2 else {}
        log.step({"loss": torch.tensor(1.0), **late}, {}, None)
    log.flush(4)
    log.step({"loss": torch.tensor(1.0)}, {}, None)
    log.flush(5)
    log.close()
    lines = read_log(tmp_path / "log.jsonl")
    assert (lines[0]["train/loss"], lines[0]["train/late"]) == (1.0, 5.5)
    assert "train/late" not in lines[1]


@pytest.mark.parametrize("error", [NonFiniteError("NaN in the input"), KeyboardInterrupt(), None])
def test_it_is_closed_behind_its_block_and_says_why_a_run_ends(tmp_path, monkeypatch, error):
    closed = []
    monkeypatch.setattr(Log, "close", lambda self: closed.append(self.path))
    with contextlib.suppress(BaseException), Log(tmp_path, QUIET, 0, 10) as log:
        log.step({"loss": torch.tensor(1.0)}, {}, None)
        if error is not None:
            raise error
    assert closed == [log.path]
    said = [{"step": 1, "error": "NaN in the input"}] if isinstance(error, NonFiniteError) else []
    assert read_log(log.path) == said
