import pytest

from audiovq.eval import unit_page
from audiovq.eval.unit_report import Result, UnitReport
from audiovq.eval.unit_values import Figure
from tests.eval.corpora import corpus, manifest, record
from tests.test_report import Checker

DATA = {"manifest": "m.jsonl", "split": "all", "utterances": 1, "aligned": 1}
DATA |= {"speakers": 1, "hours": 0.5}


def result(*labels):
    units = {"codebook_sizes": [8], "codebook": 0, "frame_rate": 100.0}
    reports = [
        UnitReport(label=n, units=units, data=DATA, figures=[Figure("pnmi", 0.1 * (i + 1))])
        for i, n in enumerate(labels)
    ]
    return Result(reports=reports, machine={}, date="")


def checked(path):
    page = Checker()
    page.feed(path.read_text("utf-8"))
    assert page.open == []
    assert all(link.startswith("data:") for link in page.links)  # nothing is fetched
    return " ".join(page.text), page


def test_names_are_escaped_and_the_best_is_marked(tmp_path):
    unaligned = corpus([("a", "--", "01")])
    unit_page.write(tmp_path / "p.html", result("<b>", "c"), unaligned, manifest([]))
    text, page = checked(tmp_path / "p.html")
    assert "Units: <b>" in text
    assert "img" not in page.tags
    assert '<td class="best">0.200</td>' in (tmp_path / "p.html").read_text()
    assert "phone-normalised mutual information" in text


def test_without_audio_the_pictures_stay_and_cards_say_why(tmp_path):
    pytest.importorskip("matplotlib")
    aligned = corpus([("a", "ssnn", "0011")])
    records = [record("u0", [(0, 40, "s")])]  # there is no such file
    unit_page.write(tmp_path / "p.html", result("u"), aligned, manifest(records))
    text, page = checked(tmp_path / "p.html")
    assert page.tags.count("img") == 2
    assert "None: " in text
    assert "u0.wav" in text
    assert "audio" not in page.tags
