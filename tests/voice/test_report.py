import json

from audiovq.voice.report import Judged, VoiceReport

GROUPS = {"ann": "F", "bob": "M", "cem": "M"}


def row(source, target, heard, centred, same=None):
    return Judged(source=source, target=target, heard=heard, centred=centred, same=same)


ROWS = [
    row("ann", None, "ann", "ann"),
    row("bob", None, "cem", "cem"),
    row("ann", "ann", "bob", "ann", 0.8),
    row("bob", "bob", "bob", "bob", 0.6),
    row("ann", "bob", "bob", "bob", 0.5),
    row("ann", "cem", "bob", "cem", 0.3),
    row("bob", "ann", "bob", "bob", 0.4),
    row("bob", "cem", "cem", "cem", None),
]


def report(groups=GROUPS):
    return VoiceReport.of(ROWS, groups=groups, speakers=["ann", "bob", "cem"], by_reference=False)


def test_every_figure_counts_what_it_says():
    found = {k: v.value for k, v in report().figures.items()}
    assert found == {
        "target": 0.5,
        "target_within": 1.0,
        "target_across": 1 / 3,
        "source": 0.25,
        "own": 0.5,
        "original": 0.5,
        "centred_target": 0.75,
        "centred_target_within": 1.0,
        "centred_target_across": 2 / 3,
        "centred_source": 0.25,
        "centred_own": 1.0,
        "same_converted": (0.5 + 0.3 + 0.4) / 3,
        "same_own": 0.7,
    }
    assert (report().conversions, report().chance) == (4, 1 / 3)


def test_without_groups_nothing_is_said_of_them():
    assert "target_within" not in report({}).figures
    assert "within a group" not in report({}).table()


def test_people_and_machines_read_the_same():
    text, plain = report().table(), json.loads(json.dumps(report().to_dict()))
    assert "4 conversions among 3 speakers, voices from the model's table; chance 0.333" in text
    assert plain["format"] == "audiovq.voices"
    assert plain["figures"]["target"]["value"] == 0.5
    assert f"{'target named after conversion':<42} 0.500" in text
