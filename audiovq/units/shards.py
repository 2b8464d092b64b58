"""Which record goes into which file: decided by the manifest alone."""

from collections.abc import Sequence

from audiovq.data.manifest import Record

Plan = dict[str, Sequence[Record]]  # file name of each shard -> its records


def plan(
    records: Sequence[Record], suffix: str, most_records: int, most_seconds: float | None
) -> Plan:
    """Cut records, in order, into shards.

    Both limits bound what a shard takes in memory and what a kill can undo.

    Args:
        records: what will be extracted.
        suffix: of the files.
        most_records: records in a shard.
        most_seconds: audio in a shard (s), but for a single longer recording; None: no limit.
    """
    parts: list[list[Record]] = []
    seconds = 0.0
    for record in records:
        long = most_seconds is not None and seconds + record.duration > most_seconds
        if not parts or long or len(parts[-1]) == most_records:
            parts.append([])
            seconds = 0.0
        parts[-1].append(record)
        seconds += record.duration
    return {f"shard-{number:06d}.{suffix}": part for number, part in enumerate(parts)}
