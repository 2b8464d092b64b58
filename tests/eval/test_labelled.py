from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiovq.errors import CheckpointError, ConfigError, ManifestError
from audiovq.eval.coded import from_units
from audiovq.eval.labelled import NO_LABEL, frame_labels, label
from audiovq.units.reading import Units
from audiovq.units.record import UnitRecord
from tests.eval.corpora import coded, manifest, record
from tests.units.test_format import metadata

rows_and_grid = st.tuples(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 30)), max_size=8),  # gap, length
    st.sampled_from([8000, 16000, 22050, 44100]),
    st.sampled_from([8000, 16000, 24000]),
    st.integers(1, 50),
    st.integers(1, 30),
)


@settings(max_examples=200, deadline=None)
@given(rows_and_grid)
def test_labels_equal_those_of_exact_fractions(drawn):
    steps, rows_rate, sample_rate, hop, frames = drawn
    rows, now = [], 0
    for i, (gap, length) in enumerate(steps):
        rows.append((now + gap, now + gap + length, i))
        now += gap + length
    found = frame_labels(rows, frames, hop_length=hop, sample_rate=sample_rate, rows_rate=rows_rate)
    for t in range(frames):
        centre = Fraction(2 * t + 1, 2) * hop / sample_rate
        expected = [
            i for a, b, i in rows if Fraction(a, rows_rate) <= centre < Fraction(b, rows_rate)
        ]
        assert found[t] == (expected[0] if expected else NO_LABEL)


def test_a_border_at_a_centre_belongs_to_the_later_phone():
    grid = {"hop_length": 10, "sample_rate": 1000, "rows_rate": 1000}
    assert frame_labels([(0, 5, 0), (5, 20, 1)], 2, **grid).tolist() == [1, 1]
    assert frame_labels([(0, 6, 0), (6, 20, 1)], 2, **grid).tolist() == [0, 1]
    assert frame_labels([(0, 10, 0)], 3, **grid).tolist() == [0, NO_LABEL, NO_LABEL]


def test_gaps_are_counted_and_never_filled():
    r = record("a", [(0, 10, "h#"), (30, 40, "s"), (40, 50, "q")], samples=60)
    found = label(coded({"a": [0, 1, 2, 3, 4, 5]}, {"a": 60}), manifest([r]))
    assert found.utterances[0].labels.tolist() == [1, -1, -1, 0, -1, -1]
    assert found.phones == ("s", "sil")
    assert (found.unlabelled, found.frames) == (4, 6)
    (note,) = found.notes()
    assert "4 of 6 frames (66.7 %)" in note
    assert "(q)" in note


def test_ids_on_one_side_only_are_named():
    a, b = record("a", [(0, 10, "s")]), record("b", [(0, 10, "s")])
    found = label(coded({"a": [0], "c": [0]}, {"a": 10, "c": 10}), manifest([a, b]))
    assert (found.only_coded, found.only_listed) == (("c",), ("b",))
    said = " ".join(found.notes())
    assert "1 utterances in the units and not in the manifest" in said
    assert "'c'" in said
    assert "1 utterances in the manifest without units: 'b'" in said


def test_unaligned_utterances_are_kept_and_named():
    a, b = record("a", [(0, 10, "s")]), record("b", [], samples=10)
    found = label(coded({"a": [0], "b": [1]}, {"a": 10, "b": 10}), manifest([a, b]))
    assert len(found.utterances) == 2
    assert [u.id for u in found.aligned] == ["a"]
    assert found.unaligned == ("b",)
    assert "'b'" in found.notes()[0]


def test_other_rates_count_at_the_units_rate():
    r = record("a", [(0, 441, "s"), (441, 882, "n")], rate=44100)  # 20 ms: 320 samples at 16 kHz
    found = label(coded({"a": [0, 1, 1]}, {"a": 320}, hop=120, rate=16000), manifest([r]))
    assert found.utterances[0].labels.tolist() == [1, 0, 0]  # centres at 3.75, 11.25, 18.75 ms


@pytest.mark.parametrize("case", [{"hop": 20}, {"rate": 2000}, {"lengths": {"a": 41}}])
def test_units_of_another_hop_rate_or_recording_are_refused(case):
    r = record("a", [(0, 40, "s")])
    lengths = case.pop("lengths", {"a": 40})
    with pytest.raises(CheckpointError, match="units of another hop, rate or corpus") as error:
        label(coded({"a": [0, 1, 2, 3]}, lengths, **case), manifest([r]))
    assert "'a'" in str(error.value)


def test_nothing_in_common_is_refused_and_shows_both_sides():
    r = record("a", [(0, 10, "s")])
    with pytest.raises(ManifestError, match="units say 'z', the manifest says 'a'"):
        label(coded({"z": [0]}, {"z": 10}), manifest([r]))
    with pytest.raises(ManifestError, match="split test"):
        label(coded({"a": [0]}, {"a": 10}), manifest([r]), split="test")


def test_overlapping_rows_are_refused():
    r = record("a", [(0, 10, "s"), (9, 20, "n")])
    with pytest.raises(ManifestError, match="'a': phones rows overlap: 'n' starts at sample 9"):
        label(coded({"a": [0, 1]}, {"a": 20}), manifest([r]))


def test_a_row_that_is_not_there_is_refused():
    r = record("a", [(0, 10, "s")])
    with pytest.raises(ConfigError, match="--codebook 1: u has rows 0 to 0"):
        label(coded({"a": [0]}, {"a": 10}), manifest([r]), codebook=1)


def test_the_chosen_row_is_looked_at():
    r = record("a", [(0, 20, "s")])
    two = coded({"a": [[0, 1], [2, 3]]}, {"a": 20}, sizes=(8, 8))
    assert label(two, manifest([r]), codebook=1).utterances[0].units.tolist() == [2, 3]


class Twice(Units):
    """A folder that gives the same utterance twice, as a damaged or joined one might."""

    def __iter__(self):
        one = UnitRecord("a", torch.zeros(2, 1, dtype=torch.int64), 10)
        return iter([one, one])


def test_a_duplicate_id_in_units_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="the id 'a' is there twice"):
        from_units(Twice(tmp_path, metadata()), "u")


def test_units_are_read_by_split(tmp_path):
    class Some(Units):
        def __iter__(self):
            for name, split in (("a", "train"), ("b", "test"), ("c", None)):
                yield UnitRecord(name, torch.zeros(2, 1, dtype=torch.int64), 10, split=split)

    units = Some(tmp_path, metadata())
    assert list(from_units(units, "u").codes) == ["a", "b", "c"]
    assert list(from_units(units, "u", "test").codes) == ["b", "c"]
    assert from_units(units, "u").fingerprint == "m"
    assert from_units(units, "u").codes["a"].dtype == np.int64
