from audiovq.data.prepare import make_corpus
from tests.data.corpora.listing import find, refusal


def test_the_test_list_stays_test(tmp_path):
    make_corpus("speechocean762").fake(tmp_path)
    found = find("speechocean762", tmp_path)
    assert [u.split for u in found.values()] == [None] * 12 + ["test"] * 4
    u = found["000000001"]
    assert (u.path, u.speaker) == ("WAVE/SPEAKER0000/000000001.WAV", "0000")
    assert u.text == "MADE UP"


def test_a_list_that_is_missing_is_told(tmp_path):
    make_corpus("speechocean762").fake(tmp_path)
    (tmp_path / "test" / "wav.scp").unlink()
    assert "no wav.scp in" in refusal("speechocean762", tmp_path)
