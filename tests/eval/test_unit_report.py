import csv
import io
import json

import pytest

from audiovq.eval.stability import CHANCE
from audiovq.eval.unit_report import Result, UnitReport
from audiovq.eval.unit_values import METRICS, REFERENCES, Figure, within

DATA = {"manifest": "m.jsonl", "split": "all", "utterances": 2, "aligned": 1}
DATA |= {"speakers": 2, "hours": 0.5}
UNITS = {"codebook_sizes": [8, 4], "codebook": 1, "frame_rate": 50.0}


def report(label, *figures, **more):
    return UnitReport(label=label, units=UNITS, data=DATA, figures=figures, **more)


def result(*reports):
    return Result(reports=reports, machine={"cpu": "x"}, date="2026-01-01")


FIGURE = Figure(
    "pnmi", 0.5, low=0.4, high=0.6, interval="jackknife over 8 speakers", count=9, over="frames"
)


def test_figures_are_found_by_key_and_say_what_they_are():
    abx = Figure("abx", 0.25, detail="triphone, within, identity")
    r = report("a", FIGURE, abx)
    assert r["pnmi"] == 0.5
    assert r["abx/triphone/within/identity"] == 0.25
    assert "abx" not in r
    with pytest.raises(KeyError, match="no 'x' in this report"):
        r["x"]
    assert abx.label == "ABX error, triphone, within, identity"
    assert FIGURE.text() == "0.500"
    assert FIGURE.interval_text() == "[0.400, 0.600]"
    assert FIGURE.range_text() == ""


def test_json_holds_definitions_and_no_nan():
    plain = json.loads(result(report("a", FIGURE), report("b")).to_json())
    assert plain["format"] == "audiovq.unit_evaluation"
    value = plain["values"]["pnmi"]
    assert (value["value"], value["low"], value["better"]) == (0.5, 0.4, "higher")
    assert value["definition"] == METRICS["pnmi"].definition
    assert plain["beside"][0]["label"] == "b"
    with pytest.raises(ValueError, match="not JSON compliant"):
        result(report("a", Figure("pnmi", float("nan")))).to_json()


def test_rows_are_in_the_order_of_the_metrics_and_leave_gaps():
    other = Figure("entropy", 2.0)
    r = result(report("a", FIGURE), report("b", other, Figure("pnmi", 0.7)))
    assert r.keys() == ["entropy", "pnmi"]
    assert r.rows() == [
        ["entropy (bit/frame)", "", "2.000"],
        ["PNMI", "0.500 [0.400, 0.600]", "0.700"],
    ]
    assert r.rows("\n")[1][1] == "0.500\n[0.400, 0.600]"
    assert r.best() == {(1, 2)}


def test_chance_and_ceilings_are_never_the_best():
    assert CHANCE in REFERENCES
    for detail, better in (("linear", "higher"), ("linear, MFCC frames", ""), ("chance", "")):
        assert Figure("label_accuracy", 0.5, detail=detail).better == better
    figures = [Figure("speaker_accuracy", v, detail="labels shuffled") for v in (0.1, 0.2)]
    assert result(*(report(n, f) for n, f in zip("ab", figures, strict=True))).best() == set()


def test_table_markdown_and_csv_say_the_same():
    ranged = Figure("phone_accuracy", 0.4, low=0.3, high=0.5, lowest=0.2, highest=0.6)
    left = {"abx": "no phones"}
    r = result(
        report("a|b", FIGURE, ranged, left_out=left, notes=["known"]), report("c", left_out=left)
    )
    text = r.table()
    assert "0.400 [0.300, 0.500] (0.200, 0.600)" in text
    assert "- abx left out: no phones" in text  # once, as it holds for both
    assert "- a|b: known" in text
    assert text.count("4 codes at 50 Hz") == 1
    assert (
        "4 codes at 50 Hz, row 1 (from 0) of 2, on all of m.jsonl: 2 utterances (1 aligned)" in text
    )
    assert "a\\|b" in r.markdown()
    rows = list(csv.DictReader(io.StringIO(r.to_csv())))
    assert rows[0]["units"] == "a|b"
    assert float(rows[0]["high"]) == 0.6
    assert rows[1]["lowest"] == "0.2"


def test_left_out_of_one_alone_is_said_of_it():
    r = result(report("a"), report("b", left_out={"stability": "no model"}))
    assert "- b: stability left out: no model" in r.table()


def test_within():
    assert within(None, 0.0, 1.0) == (None, None)
    assert within((-0.1, 1.2), 0.0, 1.0) == (0, 1)


def test_write(tmp_path):
    result(report("a", FIGURE)).write(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"table.md", "table.csv", "table.json"}
