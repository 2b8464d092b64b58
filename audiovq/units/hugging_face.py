"""Units as a Hugging Face dataset."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from audiovq.units.optional import need
from audiovq.units.reading import Units


def to_hf(units: Units, split: str | None = None, *, cache_dir: str | Path | None = None) -> Any:
    """Return units as a `datasets.Dataset`, on disk and not in memory.

    Columns: id, codes (K lists of T), num_samples, sample_rate (Hz), frame_rate (Hz), speaker,
    split, text; the description holds `units.json`, but for its list of files.

    Args:
        units: the corpus.
        split: which utterances; None: all.
        cache_dir: where the dataset's Arrow files go; None: the usual cache of `datasets`.

    Raises:
        ConfigError: `datasets` is not installed.
    """
    datasets = need("datasets", "Hugging Face datasets", "datasets")
    one, m = datasets.Value, units.metadata
    features = datasets.Features(
        {
            "id": one("string"),
            "codes": datasets.Sequence(datasets.Sequence(one("int32"))),
            "num_samples": one("int64"),
            "sample_rate": one("int32"),
            "frame_rate": one("float64"),
            "speaker": one("string"),
            "split": one("string"),
            "text": one("string"),
        }
    )
    found = datasets.Dataset.from_generator(
        _rows,
        features=features,
        gen_kwargs={"units": units, "wanted": split},
        cache_dir=None if cache_dir is None else str(cache_dir),
    )
    found.info.description = m.model_dump_json(exclude={"shards"})
    return found


def _rows(units: Units, wanted: str | None) -> Iterator[dict[str, Any]]:
    m = units.metadata
    for record in units.select(wanted):
        yield {
            "id": record.id,
            "codes": record.codes.tolist(),
            "num_samples": record.num_samples,
            "sample_rate": m.sample_rate,
            "frame_rate": m.frame_rate,
            "speaker": record.speaker,
            "split": record.split,
            "text": record.text,
        }
