"""What the tests of every corpus ask for."""

import pytest

from audiovq.data.prepare import make_corpus, prepare
from audiovq.errors import ManifestError


def find(name, root, *options):
    """The utterances of a corpus, by id."""
    return {u.id: u for u in make_corpus(name, options).utterances(root)}


def refusal(name, root, *options) -> str:
    """The one line with which a corpus is refused."""
    with pytest.raises(ManifestError) as caught:
        find(name, root, *options)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def rejected(name, root, *options) -> dict[str, str]:
    """Why which file is rejected by `prepare`, by path; half of them may be."""
    out = root.parent / "rejected.jsonl"
    report = prepare(name, root, out, options, max_rejected=0.5, progress=False)
    return {p["path"]: p["reason"] for p in report.problems if p["status"] == "rejected"}
