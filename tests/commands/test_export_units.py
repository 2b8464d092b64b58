"""`audiovq export-units` as a user meets it."""

import json
import sys
from functools import partial

import pytest

import audiovq.commands.export_units  # noqa: F401  (adds the command)
from audiovq import units
from audiovq.__main__ import main
from audiovq.data.corpora.folder import Config, Folder
from audiovq.data.prepare import prepare
from audiovq.units.export import read
from tests.helpers import small_model


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a manifest and the units of its speech."""
    folder = tmp_path_factory.mktemp("export")
    Folder(Config()).fake(folder / "speech")
    small_model().save(folder / "vq")
    prepare("folder", folder / "speech", folder / "m.jsonl", progress=False)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as stop:
        words = ["extract", folder / "vq", folder / "m.jsonl", "-o", folder / "units"]
        patch.setattr(sys, "argv", ["audiovq", *map(str, words)])
        main()
    assert not stop.value.code
    return folder


@pytest.fixture
def run(run, place):
    """Run `audiovq export-units UNITS ...`."""
    return partial(run, "export-units", place / "units")


def test_parquet_with_times(run, place, tmp_path):
    code, out, err = run("-o", tmp_path / "p", "--format", "parquet", "--times", "--split", "train")
    assert (code, "exporting" in err) == (0, True)
    found = units.load(place / "units")
    assert out.startswith(f"{tmp_path / 'p'}: parquet, {len(list(found.select('train')))} train; ")
    assert "vocabulary of 19 ids" in out
    for row in read(tmp_path / "p"):
        assert row.tokens.tolist() == found[row.id].codes.tolist()
        seconds = found[row.id].num_samples / found.metadata.sample_rate
        assert float(row.ends[0, -1]) == seconds


def test_gslm_with_bpe_learned_then_applied(run, tmp_path):
    words = ["--format", "gslm", "--codebooks", "0"]
    code, out, _ = run("-o", tmp_path / "a", *words, "--bpe", "40")
    assert code == 0
    assert "vocabulary of 40 ids, unit BPE, deduplicated" in out
    code, _, _ = run("-o", tmp_path / "b", *words, "--bpe", tmp_path / "a" / "bpe.model")
    assert code == 0
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_fairseq_with_the_manifest(run, place, tmp_path):
    words = ["--format", "fairseq", "--manifest", place / "m.jsonl"]
    assert run("-o", tmp_path / "f", *words)[0] == 0
    line = (tmp_path / "f" / "train.tsv").read_text().splitlines()[1]
    assert (place / "speech" / line.split("\t")[0]).is_file()


def test_every_option_reaches_the_file(run, tmp_path):
    words = ["--pattern", "flatten", "--deduplicate", "--no-offsets", "--bos", "--eos"]
    assert run("-o", tmp_path / "j", "--format", "jsonl", *words)[0] == 0
    said = json.loads((tmp_path / "j" / "export.json").read_text())["tokens"]
    assert said == {
        "codebooks": None, "pattern": "flatten", "deduplicate": True, "offsets": False,
        "bos": True, "eos": True,
    }  # fmt: skip


def test_mistakes_are_one_line(run, place, tmp_path):
    for words, message in (
        (["--format", "hdf5"], "no format named 'hdf5'; known: fairseq, gslm, jsonl"),
        (["--format", "npz", "--codebooks", "a"], "--codebooks takes numbers, as in 0,1"),
        (["--format", "npz", "--codebooks", "1"], "codebook 1 was asked for; the units have 1"),
        (["--format", "npz", "--codebooks", "0,0"], "codebooks: (0, 0) given; rows are counted"),
        (["--format", "npz", "--bpe", "7"], "a BPE vocabulary of 7 cannot hold 16 units"),
        (["--format", "npz", "--bpe", tmp_path / "x"], "cannot read"),
        (["--format", "gslm", "--times"], "holds no times"),
        ([], "Missing option '--format'"),
    ):
        code, out, err = run("-o", tmp_path / "out", *words)
        assert (code, out) == (2, "")
        assert message in err
        assert "Traceback" not in err
    run("-o", tmp_path / "twice", "--format", "npz")
    code, _, err = run("-o", tmp_path / "twice", "--format", "npz")
    assert code == 2
    assert "--force" in err
    assert run("-o", tmp_path / "twice", "--format", "jsonl", "--force")[0] == 0
