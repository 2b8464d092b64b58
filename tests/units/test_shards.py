from hypothesis import given, settings
from hypothesis import strategies as st

from audiovq.data.manifest import Record
from audiovq.units.shards import plan


def record(number, samples):
    return Record(id=str(number), path="a.wav", sample_rate=1000, num_samples=samples)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(1, 9000), max_size=30), st.integers(1, 5), st.none() | st.floats(0.5, 10)
)
def test_every_record_once_in_order_within_both_limits(lengths, most_records, most_seconds):
    records = [record(i, n) for i, n in enumerate(lengths)]
    shards = plan(records, "x", most_records, most_seconds)
    assert [r for part in shards.values() for r in part] == records
    assert list(shards) == sorted(shards)
    for part in shards.values():
        assert 1 <= len(part) <= most_records
        seconds = sum(r.duration for r in part)
        assert most_seconds is None or len(part) == 1 or seconds <= most_seconds + 1e-9


def test_a_shard_is_as_full_as_the_limits_let_it():
    records = [record(i, n) for i, n in enumerate([4000, 4000, 3000, 9000, 1000])]
    assert [[r.id for r in p] for p in plan(records, "x", 9, 8.0).values()] == [
        ["0", "1"],
        ["2"],
        ["3"],
        ["4"],
    ]
    assert [len(p) for p in plan(records, "x", 2, None).values()] == [2, 2, 1]
