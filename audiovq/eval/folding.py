"""Which phone labels count as the same: TIMIT's 61 as the usual 39, and what is silence.

Source: Lee & Hon 1989 ("Speaker-independent phone recognition using hidden Markov models", IEEE
Trans. ASSP 37(11), section III): closures and pauses are one silence, confusable allophones one
phone, and the glottal stop `q` is left out. 48 phones were trained there and 39 scored; this is
the 39. Labels of other phone sets (ARPAbet with stress, IPA) stay as they are.
"""

from collections.abc import Iterable, Mapping

SILENCE = "sil"
_CLOSURES = ("bcl", "dcl", "gcl", "pcl", "tcl", "kcl")
_MARKS = ("", "_", "#", "<sil>", "<SIL>", "<eps>", "<s>", "</s>", "(...)")  # of aligners
SILENCES = frozenset(("sil", "SIL", "sp", "SP", "pau", "epi", "h#", *_CLOSURES, *_MARKS))
# neither a phone nor silence: the glottal stop of TIMIT, and aligners' "unknown" or noise
DROPPED = frozenset(("q", "spn", "SPN", "<unk>", "<UNK>", "nsn", "NSN"))
MERGED: Mapping[str, str] = {
    "ao": "aa",
    "ax": "ah", "ax-h": "ah",
    "axr": "er",
    "hv": "hh",
    "ix": "ih",
    "el": "l",
    "em": "m",
    "en": "n", "nx": "n",
    "eng": "ng",
    "zh": "sh",
    "ux": "uw",
}  # fmt: skip
KEPT = frozenset((
    "aa", "ae", "ah", "aw", "ay", "b", "ch", "d", "dh", "dx", "eh", "er", "ey",
    "f", "g", "hh", "ih", "iy", "jh", "k", "l", "m", "n", "ng", "ow", "oy",
    "p", "r", "s", "sh", "t", "th", "uh", "uw", "v", "w", "y", "z",
))  # fmt: skip
"""With `sil`, the 39."""
# no other phone set in use has these, so one of them says that the labels are TIMIT's
_TIMIT = frozenset(("h#", "epi", "ax-h", *_CLOSURES))
_TIMIT_ONLY = frozenset(("q",))  # a glottal stop there, an ordinary phone (uvular stop) in IPA


def fold(label: str) -> str | None:
    """Return which of the 39 phones a TIMIT label is, `sil` for silence, None where dropped.

    A label that TIMIT does not have is returned as it is, unless it means silence (`""`, `sp`,
    `<eps>` ...) or something unknown (`spn`, `<unk>`), which is dropped.
    """
    if label in SILENCES:
        return SILENCE
    if label in DROPPED:
        return None
    return MERGED.get(label, label)


def is_timit(labels: Iterable[str]) -> bool:
    """Whether labels are TIMIT's own, known by a closure, `epi` or `h#` among them."""
    return not _TIMIT.isdisjoint(labels)


def table(labels: Iterable[str]) -> dict[str, str | None]:
    """Return what each label of a corpus is folded to.

    TIMIT's are folded to 39. Of others only silences are joined and unknowns dropped: `zh` of
    ARPAbet and `q` of IPA stay what they are.
    """
    labels = set(labels)
    if is_timit(labels):
        return {label: fold(label) for label in labels}
    folded: dict[str, str | None] = {}
    for label in labels:
        if label in SILENCES:
            folded[label] = SILENCE
        else:
            folded[label] = None if label in DROPPED - _TIMIT_ONLY else label
    return folded
