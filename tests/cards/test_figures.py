"""Tables for cards: every figure is that of the file, and other files are refused."""

import json

import pytest

from audiovq.cards import figures
from audiovq.errors import CheckpointError
from audiovq.eval.evaluate import evaluate_systems
from audiovq.eval.systems import ModelSystem
from tests import boxes
from tests.helpers import small_model

MODEL = small_model()


def read(tmp_path, text, name="mine"):
    path = tmp_path / "e.json"
    path.write_text(text)
    return figures.read(path, name)


def test_one_model(tmp_path):
    table = read(tmp_path, boxes.evaluation(MODEL))
    assert table.of == MODEL.fingerprint()
    assert table.rows == [("log-mel distance", "5.25", "[5.00, 5.50]", "dB")]  # no memory
    assert table.command == "audiovq evaluate mine MANIFEST --split test --max-utterances 9"
    assert [(m.type, m.value) for m in table.metrics] == [("log_mel_distance", 5.25)]
    assert "`speech.jsonl`" in table.title
    assert "/home/ann" not in str(table)
    assert {"a note", "fingerprint of the manifest: abcdef012345"} <= set(table.notes)


def test_what_evaluate_writes(tmp_path, speech_manifest):
    model = small_model({"name": "rvq", "dim": 6, "num_codebooks": 3, "codebook_size": 8})
    systems = [ModelSystem(model, "m", k) for k in (1, 3, 2)]
    found = evaluate_systems(
        systems, speech_manifest, metrics=["log_mel_distance"], max_utterances=2, progress=False
    )
    table = read(tmp_path, found.to_json())
    assert table.header == ("", "1 codebooks", "3 codebooks", "2 codebooks", "unit")
    assert table.of == model.fingerprint()
    assert table.command.endswith("--codebooks 1,3,2")
    first = next(r for r in table.rows if r[0] == "log-mel distance")
    for cell, report in zip(first[1:4], found.reports, strict=True):
        assert cell.startswith(f"{report['log_mel_distance']:.2f}")
    whole = next(m for m in table.metrics if m.type == "log_mel_distance")
    assert whole.value == found.reports[1]["log_mel_distance"]  # of all codebooks
    assert all(m.type not in {"encode_rtf", "decode_rtf", "peak_memory"} for m in table.metrics)


def test_a_prior_and_units(tmp_path):
    estimate = {"value": 3.5, "low": 3.0, "high": 4.0, "interval": "bootstrap over 9 speakers"}
    rate = {"bits_per_code": estimate, "bits_per_second": estimate, "perplexity": 11.3}
    data = {"split": "test", "utterances": 9, "speakers": 9, "codes": 1, "seconds": 180.0}
    score = {
        "format": "audiovq.prior_score", "prior": {"fingerprint": "f"}, "data": data,
        "rates": {"nominal": rate, "prior": rate},
    }  # fmt: skip
    table = read(tmp_path, json.dumps(score))
    assert table.rows[1] == ("prior", "3.500 [3.000, 4.000]", "3.5 [3.0, 4.0]", "11.3")
    assert table.command == "audiovq score mine units --split test"
    assert table.of == "f"
    assert [m.value for m in table.metrics] == [3.5, 3.5]

    value = {"value": 0.4, "low": None, "high": None}
    units = {
        "format": "audiovq.unit_evaluation", "units": {"fingerprint": "g"}, "date": "2026-11-21",
        "data": {"split": "all", "utterances": 1, "speakers": 0, "manifest": "m", "hours": 1.0},
        "values": {"pnmi": value, "abx/triphone/within/identity": value},
        "notes": ["ABX, much", "b"],
    }  # fmt: skip
    table = read(tmp_path, json.dumps(units))
    assert table.of == "g"
    assert table.rows[1][0].endswith(", triphone, within, identity")
    assert table.notes[0] == "b"


@pytest.mark.parametrize(
    "text",
    ["", "[]", "null", "{}", '{"format": "audiovq.evaluation"}', '{"format": ["x"]}', "[" * 100_000,
     '{"format": "audiovq.comparison", "systems": {}, "compared_to": "x"}',
     '{"format": "audiovq.prior_score", "data": 3}'],
)  # fmt: skip
def test_other_files_are_refused_in_one_line(tmp_path, text):
    with pytest.raises(CheckpointError, match=r"e\.json is no evaluation: JSON of"):
        read(tmp_path, text)


def test_no_file(tmp_path):
    with pytest.raises(CheckpointError, match="cannot read .*: No such file"):
        figures.read(tmp_path / "none.json", "x")
    (tmp_path / "x.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CheckpointError, match="is no evaluation"):
        figures.read(tmp_path / "x.json", "x")
