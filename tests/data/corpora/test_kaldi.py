import pytest

from audiovq.data.prepare import make_corpus
from tests.data.corpora.listing import find, refusal, rejected


@pytest.fixture
def root(tmp_path):
    make_corpus("kaldi").fake(tmp_path / "k")
    return tmp_path / "k"


def write(root, table, text):
    (root / table).write_text(text)
    return root


def test_segments_speakers_and_texts(root):
    found = find("kaldi", root, "language=en")
    u = found["spk0-1"]
    assert (u.path, u.speaker, u.text) == ("audio/spk0-tape.wav", "spk0", "made up")
    assert (u.span, u.channel, u.split, u.language) == ((1.5, None), None, None, "en")


def test_segments_speakers_and_texts_are_optional(root):
    for name in ("segments", "utt2spk", "text"):
        (root / name).unlink()
    found = find("kaldi", root)
    assert list(found) == [f"spk{s}-tape" for s in range(6)]
    assert {(u.speaker, u.text, u.span) for u in found.values()} == {(None, None, None)}


def test_paths_may_be_absolute_below_the_root(root):
    text = (root / "wav.scp").read_text().replace("audio/", f"{root}/audio/")
    found = find("kaldi", write(root, "wav.scp", text))
    assert found["spk0-0"].path == "audio/spk0-tape.wav"


@pytest.mark.parametrize(
    "entry",
    ["sph2pipe -f wav a.sph |", "touch {root}/pwned |", "| cat", "cat a.wav |", "-"],
)
def test_commands_are_refused_and_never_run(root, entry):
    write(root, "wav.scp", f"spk0-tape {entry.format(root=root)}\n")
    told = refusal("kaldi", root)
    assert "wav.scp, line 1" in told
    assert "is a command, which is never run" in told
    assert not (root / "pwned").exists()


def test_paths_outside_are_refused(root):
    for path in ("../a.wav", "/etc/passwd"):
        write(root, "wav.scp", f"spk0-tape {path}\n")
        assert f"wav.scp, line 1: path '{path}' is not below" in refusal("kaldi", root)


@pytest.mark.parametrize(
    "segment",
    [
        "u spk0-tape", "u spk0-tape 1", "u spk0-tape 2 1", "u spk0-tape 1 1", "u spk0-tape -1 2",
        "u spk0-tape a b", "u spk0-tape nan 1", "u spk0-tape 0 inf", "u spk0-tape inf -1",
        "u spk0-tape 0 1 x", "u spk0-tape 0 1 0 0", "u spk0-tape 0 -2",
    ],
)  # fmt: skip
def test_a_broken_segment_is_told(root, segment):
    told = refusal("kaldi", write(root, "segments", f"{segment}\n"))
    assert "segments, line 1" in told
    assert "is not `utterance recording start end` in seconds" in told


def test_channels_of_segments(root):
    write(root, "segments", "spk0-0 spk0-tape 0 1 0\n")
    assert find("kaldi", root)["spk0-0"].channel == 0
    write(root, "segments", "spk0-0 spk0-tape 0 1 1\nspk0-1 spk0-tape 1 2 0\n")
    assert rejected("kaldi", root) == {"audio/spk0-tape.wav": "has 1 channel(s), no channel 1"}


@pytest.mark.parametrize(
    ("table", "text", "message"),
    [
        ("segments", "u nobody 0 1\n", "segments, line 1: 'nobody' is not in"),
        ("utt2spk", "spk0-0 spk0\n", "'spk0-1' has no speaker in"),
        ("utt2spk", "spk0-0\n", "utt2spk, line 1: nothing behind 'spk0-0'"),
        ("wav.scp", "a x.wav\na y.wav\n", "wav.scp, line 2: 'a' was there before"),
    ],
)
def test_tables_that_do_not_fit_are_told(root, table, text, message):
    assert message in refusal("kaldi", write(root, table, text))


def test_an_empty_text_and_a_missing_file(root):
    write(root, "text", "spk0-0\n")
    assert find("kaldi", root)["spk0-0"].text == ""
    (root / "audio" / "spk3-tape.wav").unlink()
    assert rejected("kaldi", root) == {"audio/spk3-tape.wav": "does not exist"}


def test_a_directory_for_each_split(root):
    for part in ("train", "dev", "eval"):
        make_corpus("kaldi").fake(root / part)  # for its tables; utterances are told apart below
        for name in ("wav.scp", "segments", "utt2spk", "text"):
            path = root / part / name
            text = path.read_text().replace("audio/", f"{part}/audio/").replace("spk", part)
            path.write_text(text.replace(f"{part}0-tape.wav", "spk0-tape.wav"))
    found = find("kaldi", root, "train=train", "validation=dev", "test=eval")
    assert found["train0-0"].split == "train"
    assert found["dev0-0"].split == "validation"
    assert found["eval0-0"].split == "test"
    assert "no wav.scp in" in refusal("kaldi", root, "data=nowhere")
