"""Parts of files, and paths that lists name."""

from pathlib import Path

import pytest

from audiovq import audio
from audiovq.audio import AudioInfo
from audiovq.data import manifest as manifests
from audiovq.data.corpora import _fake
from audiovq.data.corpora._base import Utterance, inside, lines
from audiovq.data.prepare import prepare
from audiovq.errors import AudioError, ManifestError

INFO = AudioInfo("a.wav", 8000, 80000, 2, "WAV", "PCM_16")  # ten seconds


def part(span, channel=None, alignment=None):
    u = Utterance(id="a", path="a.wav", span=span, channel=channel, alignment=alignment)
    return u.record(INFO, INFO.num_samples)


@pytest.mark.parametrize(
    ("span", "start", "num_samples"),
    [
        (None, 0, 80000),
        ((0.0, None), 0, 80000),
        ((2.5, None), 20000, 60000),
        ((2.5, 4.0), 20000, 12000),
        ((9.0, 10.4), 72000, 8000),  # half a second too far is cut
    ],
)
def test_a_span_in_seconds_becomes_samples(span, start, num_samples):
    record = part(span)
    assert (record.start, record.num_samples, record.channel) == (start, num_samples, None)


@pytest.mark.parametrize("span", [(10.0, None), (12.0, 13.0), (9.0, 10.6), (3.0, 3.00001)])
def test_a_span_that_the_file_does_not_have_is_an_error(span):
    with pytest.raises(AudioError, match="is not in it"):
        part(span)


def test_a_channel_that_the_file_does_not_have_is_an_error():
    assert part(None, 1).channel == 1
    with pytest.raises(AudioError, match="2 channel.*, no channel 2"):
        part(None, 2)


def test_an_alignment_is_cut_and_counted_from_the_start_of_the_part():
    rows = ((0, 8000, "a"), (8000, 16000, "b"), (16000, 24000, "c"), (24000, 32000, "d"))
    record = part((1.5, 3.0), alignment={"phones": rows})
    assert record.alignment == {"phones": ((0, 4000, "b"), (4000, 12000, "c"))}


@pytest.mark.parametrize("name", ["a.wav", "./a/b.wav", "a//b.wav", "{root}/a.wav"])
def test_paths_below_the_root_are_made_relative(name, tmp_path):
    found = inside(tmp_path, name.format(root=tmp_path), "list, line 1")
    assert found in {"a.wav", "a/b.wav"}


@pytest.mark.parametrize("name", ["../a.wav", "a/../../b.wav", "/etc/passwd", "", ".", "a\0.wav"])
def test_paths_that_leave_the_root_are_refused(name, tmp_path):
    with pytest.raises(ManifestError, match="list, line 3: path .* is not below"):
        inside(tmp_path, name, "list, line 3")


def test_lines_break_at_newlines_alone(tmp_path):
    path = tmp_path / "text"
    path.write_bytes("\ufeffa one\u2028two\r\n\n \nb\x0cthree".encode())
    assert [(w.rpartition(" ")[2], x) for w, x in lines(path)] == [
        ("1", "a one\u2028two"),
        ("4", "b\x0cthree"),
    ]
    with pytest.raises(ManifestError, match="cannot read"):
        list(lines(tmp_path / "none"))


@pytest.fixture
def tapes(tmp_path) -> Path:
    root = tmp_path / "tapes"
    for s in range(4):
        _fake.write(root / f"{s}.wav", 4.0, 10 * s)
    rows = [f"{s}.wav,s{s},{a},{b}\n" for s in range(4) for a, b in ((0, 2), (2, 4))]
    (root / "t.csv").write_text("path,speaker,start,end\n" + "".join(rows))
    return root


def test_a_file_is_decoded_once_for_all_its_parts(tapes, tmp_path, monkeypatch):
    decoded, check = [], audio.check

    def counting(path):
        decoded.append(path)
        return check(path)

    monkeypatch.setattr(audio, "check", counting)
    report = prepare("csv", tapes, tmp_path / "m.jsonl", progress=False)
    assert len(decoded) == 4
    assert report.statuses["ok"] == 8
    assert report.duplicates == 0  # two parts of one file are not the same audio
    found = manifests.read(tmp_path / "m.jsonl")
    whole = audio.load(tapes / "2.wav")
    parts = [found.load(r, 16000) for r in found.records if r.path == "2.wav"]
    assert [len(p.flatten()) for p in parts] == [32000, 32000]
    assert parts[1].equal(whole[..., 32000:])


def test_parts_beyond_the_end_are_rejected_one_by_one(tapes, tmp_path):
    with (tapes / "t.csv").open("a") as file:
        file.write("0.wav,s0,4.5,5\n0.wav,s0,0,2\n")
    with pytest.raises(ManifestError, match=r"two ids|used twice"):
        prepare("csv", tapes, tmp_path / "m.jsonl", progress=False)
    text = (tapes / "t.csv").read_text().replace("0.wav,s0,0,2\n", "", 1)
    (tapes / "t.csv").write_text(text)
    with pytest.raises(ManifestError, match="1 of 9 utterances are rejected, more than"):
        prepare("csv", tapes, tmp_path / "m.jsonl", progress=False)
    report = prepare("csv", tapes, tmp_path / "m.jsonl", max_rejected=0.2, progress=False)
    assert report.problems[0]["id"] == "0@4.500"
    assert report.problems[0]["reason"] == "lasts 4.000 s; 4.5 s to 5 s is not in it"
