"""Ids come from whole suffixes."""

from audiovq.data.corpora import _fake
from audiovq.data.corpora.folder import Config, Folder


def test_ids_lose_their_suffix_and_nothing_else(tmp_path):
    """Defect j (fairseq): `rstrip(".flac")` strips letters, so that "tall.flac" became "t"."""
    for name in ("tall.flac", "calf.flac", "v.a.wav", "wav.wav"):
        _fake.write(tmp_path / name, 0.1, 0)
    ids = {u.id for u in Folder(Config()).utterances(tmp_path)}
    assert ids == {"tall", "calf", "v.a", "wav"}
