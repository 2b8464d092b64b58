"""What every corpus in the folder promises; a new file is tested by being there."""

from itertools import product

import pytest

from audiovq import audio, registry
from audiovq.config import parse
from audiovq.data import manifest as manifests
from audiovq.data.corpora.folder import _is_audio
from audiovq.data.prepare import make_corpus, prepare
from audiovq.errors import ManifestError

NAMES = registry.names("corpora")


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


@pytest.fixture
def root(name, tmp_path):
    make_corpus(name).fake(tmp_path / "fake")
    return tmp_path / "fake"


def test_the_fake_is_small_speech_of_several_speakers(name, root):
    found = list(make_corpus(name).utterances(root))
    alone = type(make_corpus(name)).single_speaker
    assert len({u.speaker for u in found}) == 1 if alone else len({u.speaker for u in found}) >= 3
    assert len({u.id for u in found}) == len(found)
    assert len({(u.path, u.span, u.channel) for u in found}) == len(found)
    for u in found:
        verdict = audio.check(root / u.path)
        assert verdict.status == "ok"
        assert 0.2 < verdict.info.duration < 10


def test_order_and_content_are_the_same_every_time(name, root, tmp_path):
    assert list(make_corpus(name).utterances(root)) == list(make_corpus(name).utterances(root))
    make_corpus(name).fake(tmp_path / "again")
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        assert (tmp_path / "again" / path.relative_to(root)).read_bytes() == path.read_bytes()


def test_it_prepares_to_a_manifest_that_loads(name, root, tmp_path):
    report = prepare(name, root, tmp_path / "m.jsonl", max_rejected=0.0, progress=False)
    found = manifests.read(tmp_path / "m.jsonl", check_files=True)
    assert sum(report.utterances.values()) == len(found.records)
    assert all(report.utterances.values())
    for record in found.records:
        assert record.split in manifests.SPLITS
        assert found.load(record, 8000).shape == (1, 1, record.samples_at(8000))
        for rows in (record.alignment or {}).values():
            assert all(a < b for a, b, _ in rows)


def test_another_folder_is_refused_in_one_line(name, tmp_path):
    (tmp_path / "notes.txt").write_text("nothing to hear")
    with pytest.raises(ManifestError) as caught:
        list(make_corpus(name).utterances(tmp_path))
    assert str(tmp_path) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_every_setting_is_described(name):
    component = registry.get("corpora", name)
    assert parse(component.config, {"name": name}).name == name
    for field, info in component.config.model_fields.items():
        assert field == "name" or info.description


GARBAGE = [
    b"", b"\n\n", b"\x00\xff\xfe\x80" * 50, b"../../../etc/passwd\n" * 3, b"a b c d\n" * 3,
    b"{}", b"[" * 5000, b'"' * 7, b"\t|,;\n", b"x" * 300_000, "\u2028\u0085 \ufeff\n".encode(),
]  # fmt: skip


def test_broken_labels_are_told_in_one_line_or_read_as_nothing(name, root):
    labels = [p for p in sorted(root.rglob("*")) if p.is_file() and not _is_audio(p.name)]
    for path, garbage in product([*labels[:3], *labels[-3:]], GARBAGE):
        whole = path.read_bytes()
        for data in (garbage, whole + garbage, whole[: len(whole) // 2] + garbage):
            path.write_bytes(data)
            told, found = "", []
            try:
                found = list(make_corpus(name).utterances(root))
            except ManifestError as error:
                told = str(error)
            assert len(told.splitlines()) <= 1, (path, data[:20])
            assert len(told) < 1000
            assert all(".." not in u.path and u.path[0] != "/" for u in found)
        path.write_bytes(whole)
