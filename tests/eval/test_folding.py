from audiovq.eval import folding
from audiovq.eval.folding import SILENCE, fold, is_timit, table

# The 61 of TIMIT's documentation (phoncode.doc).
TIMIT = """
    b d g p t k dx q bcl dcl gcl pcl tcl kcl jh ch s sh z zh f th v dh m n ng em en eng nx l r w
    y hh hv el iy ih eh ey ae aa aw ay ah ao oy ow uh uw ux er ax ix axr ax-h pau epi h#
""".split()  # noqa: SIM905


def test_61_become_39_and_one_is_dropped():
    assert len(TIMIT) == 61
    folded = [fold(p) for p in TIMIT]
    assert folded.count(None) == 1
    assert fold("q") is None
    assert len(set(folded) - {None}) == 39
    assert set(folded) - {None, SILENCE} == folding.KEPT


def test_closures_and_pauses_are_silence_and_stops_are_not():
    silent = {p for p in TIMIT if fold(p) == SILENCE}
    assert silent == {"bcl", "dcl", "gcl", "pcl", "tcl", "kcl", "pau", "epi", "h#"}


def test_lee_and_hons_pairs():
    pairs = "ao:aa ax:ah ax-h:ah axr:er hv:hh ix:ih el:l em:m en:n nx:n eng:ng zh:sh ux:uw"
    for pair in pairs.split():
        merged, kept = pair.split(":")
        assert fold(merged) == fold(kept) == kept


def test_folding_twice_changes_nothing_more():
    for phone in set(map(fold, TIMIT)) - {None}:
        assert fold(phone) == phone


def test_other_phone_sets_stay_as_they_are_but_for_silence():
    others = ["q", "ʒ", "zh", "AH0", "ao"]
    ipa = table([*others, "", "spn", "sp"])
    assert ipa == {**{p: p for p in others}, "": "sil", "spn": None, "sp": "sil"}
    assert table(["_", "ə"]) == {
        "_": "sil",
        "ə": "ə",
    }  # espeak-ng's, as the synthetic corpus has it
    assert table(["q", "zh", "h#", "own"]) == {"q": None, "zh": "sh", "h#": "sil", "own": "own"}
    assert is_timit(TIMIT)
    assert not is_timit(["q", "sil"])
