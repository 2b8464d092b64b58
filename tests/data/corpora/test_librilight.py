import json

import pytest

from audiovq.data import manifest as manifests
from audiovq.data.corpora import _fake
from audiovq.data.prepare import make_corpus, prepare
from tests.data.corpora.listing import find, refusal, rejected


@pytest.fixture
def chapter(tmp_path):
    stem = tmp_path / "small" / "100" / "sea_fairies" / "01_baum"
    _fake.write(stem.with_suffix(".flac"), 5.0, 3)
    about = {"speaker": "100", "voice_activity": [[0.2, 1.0], [1.3, 2.0], [3.5, 4.0], [4.1, 4.9]]}
    stem.with_suffix(".json").write_text(json.dumps(about))
    return stem


def test_stretches_of_voice_are_joined_up_to_a_length_and_across_short_pauses(chapter, tmp_path):
    def spans(*options):
        return [u.span for u in find("librilight", tmp_path, *options).values()]

    assert spans() == [(0.2, 2.0), (3.5, 4.9)]
    assert spans("max_pause_seconds=2") == [(0.2, 4.9)]
    assert spans("max_pause_seconds=0.2") == [(0.2, 1.0), (1.3, 2.0), (3.5, 4.9)]
    assert spans("max_pause_seconds=2", "segment_seconds=2") == [(0.2, 2.0), (3.5, 4.9)]
    assert spans("whole_files=true") == [None]


def test_ids_and_speakers_do_not_depend_on_where_the_root_is(chapter, tmp_path):
    found = find("librilight", tmp_path)
    assert list(found) == ["100/sea_fairies/01_baum-0000", "100/sea_fairies/01_baum-0001"]
    assert list(find("librilight", tmp_path / "small")) == list(found)
    assert {u.speaker for u in found.values()} == {"100"}


def test_without_voice_activity_a_file_is_one_utterance(chapter, tmp_path):
    chapter.with_suffix(".json").write_text('{"speaker": 7}')
    (only,) = find("librilight", tmp_path).values()
    assert (only.id, only.speaker, only.span) == ("100/sea_fairies/01_baum", "7", None)
    chapter.with_suffix(".json").unlink()
    (only,) = find("librilight", tmp_path).values()
    assert only.speaker == "100"  # of the folder


def test_parts_load_from_where_they_start(tmp_path):
    make_corpus("librilight").fake(tmp_path / "l")
    prepare("librilight", tmp_path / "l", tmp_path / "m.jsonl", progress=False)
    record = manifests.read(tmp_path / "m.jsonl").records[1]
    assert (record.start, record.num_samples) == (49600, 12800)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "01_baum.json is not a chapter of Libri-Light"),
        ("[1]", "01_baum.json is not a chapter of Libri-Light"),
        ('{"voice_activity": [[1]]}', "is not a chapter of Libri-Light"),
        ('{"voice_activity": 3}', "is not a chapter of Libri-Light"),
        ('{"voice_activity": [[2, 1]]}', "is not in order of time"),
        ('{"voice_activity": [[-2, 1]]}', "is not in order of time"),
        ('{"voice_activity": [[0, NaN]]}', "is not in order of time"),
        ('{"voice_activity": [[0, 2], [1, 3]]}', "is not in order of time"),
    ],
)
def test_broken_json_is_told(chapter, tmp_path, text, message):
    chapter.with_suffix(".json").write_text(text)
    assert message in refusal("librilight", tmp_path)


def test_a_chapter_without_its_audio_is_missing_and_other_json_is_left_alone(chapter, tmp_path):
    (tmp_path / "small" / "index.json").write_text("[]")
    other = chapter.with_name("02_baum.json")
    other.write_text('{"voice_activity": [[0, 1]]}')
    assert rejected("librilight", tmp_path / "small") == {
        "100/sea_fairies/02_baum.flac": "does not exist"
    }
