import json
import os
import tarfile

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiovq import audio
from audiovq.data import manifest as manifests
from audiovq.data.corpora import _fake
from audiovq.data.manifest import Record
from audiovq.errors import AudioError, ManifestError

HEADER = '{"format": "audiovq.manifest", "version": 1, "root": "."}\n'
LINE = '{"id": "a", "path": "a.wav", "sample_rate": 16000, "num_samples": 100}\n'


def record(**values) -> Record:
    return Record(
        **{"id": "a", "path": "a.wav", "sample_rate": 16000, "num_samples": 100, **values}
    )


def with_key(key, value) -> str:
    return json.dumps({**json.loads(LINE), key: value}) + "\n"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "m.jsonl"


names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@settings(max_examples=150, deadline=None)
@given(
    records=st.lists(
        st.builds(
            record,
            id=names,
            path=names.filter(lambda p: not p.startswith("/") and ".." not in p.split("/")),
            num_samples=st.integers(100, 2**40),
            start=st.integers(0, 2**40),
            channel=st.none() | st.integers(0, 31),
            speaker=st.none() | names,
            split=st.sampled_from([None, *manifests.SPLITS]),
            text=st.none() | names,
            alignment=st.none() | st.just({"phones": ((0, 50, "ə"), (50, 100, "\n"))}),
        ),
        min_size=1,
        max_size=4,
        unique_by=lambda r: r.id,
    )
)
def test_every_record_comes_back_whatever_its_names(tmp_path_factory, records):
    path = tmp_path_factory.mktemp("m") / "m.jsonl"
    manifests.write(path, "some/where", records, corpus="x")
    found = manifests.read(path)
    assert list(found.records) == records
    assert found.header["corpus"] == "x"
    assert len(path.read_bytes().split(b"\n")) == len(records) + 2  # a line each, a header


def test_root_is_relative_to_the_manifest_or_absolute(path):
    manifests.write(path, "../speech", [record()])
    assert manifests.read(path).root == path.parent.parent / "speech"
    manifests.write(path, "/speech", [record()])
    assert str(manifests.read(path).root) == "/speech"


def test_a_last_line_without_line_end_is_fine_when_it_is_whole(path):
    path.write_text(HEADER + LINE.rstrip())
    assert len(manifests.read(path).records) == 1


def test_cut_at_any_byte_of_the_last_record_it_is_whole_or_refused(path):
    whole = (HEADER + LINE + with_key("id", "b ünï")).encode()
    for end in range(len((HEADER + LINE).encode()) + 1, len(whole) - 1):
        path.write_bytes(whole[:end])
        with pytest.raises(ManifestError, match="line 3 is cut off: the file was not copied whole"):
            manifests.read(path)


FAULTS = {
    "": "is empty; its first line must be {",
    LINE: "has no header; its first line must be {",
    '{"format": "lhotse"}\n': "has no header",
    "hello\n": "has no header",
    "[1]\n": "has no header",
    '{"format": "audiovq.manifest", "version": 2}\n': "has version 2; this audiovq reads 1",
    '{"format": "audiovq.manifest", "version": 1, "root": 3}\n': "line 1: `root` is 3",
    HEADER: "has a header but no records",
    HEADER + LINE + LINE: "line 3: id 'a' was used on line 2",
    HEADER + LINE + "{}\n": "line 3: the key 'id' is missing",
    HEADER + "not json\n": "line 2: not JSON: ",
    HEADER + "[]\n": "line 2: ",
    HEADER + LINE.rstrip()[:-9]: "line 2 is cut off",
    HEADER + with_key("speker", "x"): "line 2: 'speker' is no key of a record; known: id, path,",
    HEADER + with_key("num_samples", 0): "line 2: num_samples: 0 given; Input should be greater",
    HEADER + with_key("num_samples", "100"): "line 2: num_samples: '100' given; ",
    HEADER + with_key("num_samples", True): "line 2: num_samples: True given; ",
    HEADER + with_key("sample_rate", 500): "line 2: sample_rate: 500 given; ",
    HEADER + with_key("start", -1): "line 2: start: -1 given; ",
    HEADER + with_key("split", "dev"): "line 2: split: 'dev' given; Input should be 'train',",
    HEADER + with_key("path", "../../etc/passwd"): "line 2: path '../../etc/passwd' leaves the",
    HEADER + with_key("path", "/etc/passwd"): "line 2: path '/etc/passwd' leaves the root",
    HEADER + with_key("alignment", {"phones": [[5, 3, "a"]]}): "line 2: phones row [5, 3, 'a'] is",
    HEADER + with_key("alignment", {"phones": [[5, 300, "a"]]}): "within the record's 100 samples",
}


@pytest.mark.parametrize("content", FAULTS, ids=range(len(FAULTS)))
def test_each_fault_is_one_line_with_file_and_line(path, content):
    path.write_text(content)
    with pytest.raises(ManifestError) as caught:
        manifests.read(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert FAULTS[content] in message
    assert len(message.splitlines()) == 1


def test_what_is_no_text_or_not_there_is_one_line(path):
    with pytest.raises(ManifestError, match="cannot read the manifest .*No such file"):
        manifests.read(path)
    path.write_bytes(b"fLaC\x00\xff\xfe" * 99)
    with pytest.raises(ManifestError, match="is not a manifest: it is not UTF-8"):
        manifests.read(path)
    with pytest.raises(ManifestError, match="cannot read the manifest .*directory"):
        manifests.read(path.parent)
    with pytest.raises(ManifestError, match="cannot write the manifest .*No such file"):
        manifests.write(path.parent / "no" / "m.jsonl", ".", [record()])


def test_iterate_gives_what_comes_before_a_fault(path):
    path.write_text(HEADER + LINE + "torn")
    given = manifests.iterate(path)
    assert next(given).id == "a"
    with pytest.raises(ManifestError, match="line 3"):
        next(given)


def test_missing_files_are_counted_and_named(path, tmp_path):
    _fake.write(tmp_path / "here.wav", 0.1, 0)
    with tarfile.open(tmp_path / "s.tar", "w") as tar:
        tar.add(tmp_path / "here.wav", "in.wav")
    paths = ["here.wav", "gone.wav", "s.tar/in.wav", "s.tar/out.wav", "no.tar/in.wav"]
    manifests.write(path, ".", [record(id=p, path=p) for p in paths])
    assert len(manifests.read(path).records) == 5
    with pytest.raises(ManifestError) as caught:
        manifests.read(path, check_files=True)
    message = str(caught.value)
    assert "3 of 5 files are not under" in message
    assert "'gone.wav', 's.tar/out.wav', 'no.tar/in.wav'; correct `root` in line 1" in message


def test_a_failed_write_leaves_the_old_manifest(path):
    manifests.write(path, ".", [record()])
    old = path.read_bytes()

    def records():
        yield record()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        manifests.write(path, ".", records())
    assert path.read_bytes() == old
    assert os.listdir(path.parent) == [path.name]


def test_load_takes_the_records_part_and_channel(path, tmp_path):
    n = _fake.write(tmp_path / "a.wav", 1.0, 0)
    manifests.write(
        path, ".", [record(), record(id="b", start=500, num_samples=n - 500, channel=0)]
    )
    found = manifests.read(path)
    a, b = found.records
    assert found.load(a, 16000).shape == (1, 1, 100)
    assert found.load(b, 8000).shape == (1, 1, b.samples_at(8000))
    joined = [x for part in found.blocks(b, 8000) for x in part.flatten().tolist()]
    assert joined == found.load(b, 8000).flatten().tolist()


def test_fingerprint_follows_content_not_place(path, tmp_path):
    manifests.write(path, ".", [record()])
    manifests.write(tmp_path / "other.jsonl", "/else", [record()], corpus="x")
    manifests.write(tmp_path / "third.jsonl", ".", [record(num_samples=99)])
    one, same, other = (
        manifests.read(p).fingerprint()
        for p in (path, tmp_path / "other.jsonl", tmp_path / "third.jsonl")
    )
    assert one == same != other


def test_a_record_that_is_not_as_its_file_is_refused(tmp_path):
    audio.save(tmp_path / "a.wav", torch.zeros(1, 1, 800) + 0.1, 8000)
    for wrong in (
        {"sample_rate": 16000, "num_samples": 800},
        {"sample_rate": 8000, "num_samples": 801},
    ):
        record = manifests.Record(id="a", path="a.wav", **wrong)
        manifests.write(tmp_path / "m.jsonl", ".", [record])
        read = manifests.read(tmp_path / "m.jsonl")
        with pytest.raises(AudioError, match=r"record 'a' .* prepare again"):
            read.load(record, 16000)
        with pytest.raises(AudioError, match="prepare again"):
            next(read.blocks(record, 16000))
