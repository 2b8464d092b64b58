from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audiovq.data.alignments import attach, read
from audiovq.data.manifest import Manifest, Record
from audiovq.errors import ManifestError


def manifest(*names, rate=16000, samples=16000, alignment=None):
    records = [
        Record(
            id=n.replace("/", "-"), path=f"{n}.flac", sample_rate=rate, num_samples=samples,
            alignment=alignment,
        )
        for n in names
    ]  # fmt: skip
    return Manifest(Path("some.jsonl"), Path(), {}, records)


def long_form(tiers, end):
    """A TextGrid as Praat writes it."""
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0 "]
    lines += [f"xmax = {end} ", "tiers? <exists> ", f"size = {len(tiers)} ", "item []: "]
    for i, (name, rows) in enumerate(tiers, 1):
        lines += [
            f"    item [{i}]:",
            '        class = "IntervalTier" ',
            f'        name = "{name}" ',
        ]
        lines += ["        xmin = 0 ", f"        xmax = {end} "]
        lines += [f"        intervals: size = {len(rows)} "]
        for j, (a, b, label) in enumerate(rows, 1):
            lines += [f"        intervals [{j}]:", f"            xmin = {a} "]
            lines += [f"            xmax = {b} ", f'            text = "{quoted(label)}" ']
    return "\n".join(lines) + "\n"


def short_form(tiers, end):
    lines = ['File type = "ooTextFile"', '"TextGrid"', "", "0", str(end), "<exists>"]
    lines.append(str(len(tiers)))
    for name, rows in tiers:
        lines += ['"IntervalTier"', f'"{name}"', "0", str(end), str(len(rows))]
        for a, b, label in rows:
            lines += [str(a), str(b), f'"{quoted(label)}"']
    return "\n".join(lines) + "\n"


def quoted(label):
    return label.replace('"', '""')


labels = st.text(
    st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp", "Zs")), max_size=6
)  # no line breaks or blanks at the ends, which are stripped
cuts = st.lists(st.integers(1, 9999), unique=True, min_size=1, max_size=6).map(sorted)


@settings(max_examples=100, deadline=None)
@given(cuts, st.data(), st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]), st.booleans())
def test_textgrids_round_trip(tmp_path_factory, edges, data, encoding, short):
    times = [f"{e / 10000:.4f}" for e in [0, *edges]]
    names = data.draw(st.lists(labels, min_size=len(edges), max_size=len(edges)))
    rows = list(zip(times, times[1:], names, strict=False))
    path = tmp_path_factory.mktemp("grid") / "a.TextGrid"
    make = short_form if short else long_form
    words = ("words", [(0, times[-1], 'say "ah" [1] 2')])
    path.write_text(make([words, ("phones", rows)], times[-1]), encoding=encoding)
    found = read(path)["a"]
    assert [(str(r.start), str(r.end), r.label) for r in found] == rows
    attached = attach(manifest("a"), path).records[0].alignment["phones"]
    expected = [(round(float(a) * 16000), round(float(b) * 16000), n) for a, b, n in rows]
    assert [(a, b) for a, b, _ in attached] == [(a, b) for a, b, _ in expected]
    # rows that touch in the file touch in the record
    assert all(one[1] == two[0] for one, two in pairwise(attached))


def test_point_tiers_are_passed_over_and_mfas_names_known(tmp_path):
    point = '"TextTier"\n"tones"\n0\n1\n1\n0.5\n"H*"\n'
    text = short_form([("ann - phones", [(0, 1, "s")])], 1).replace(
        "<exists>\n1\n", "<exists>\n2\n"
    )
    head, tail = text.split("<exists>\n2\n")
    (tmp_path / "a.TextGrid").write_text(f"{head}<exists>\n2\n{point}{tail}")
    assert [r.label for r in read(tmp_path / "a.TextGrid")["a"]] == ["s"]


@settings(max_examples=60, deadline=None)
@given(cuts, st.sampled_from([8000, 16000, 44100]))
def test_phn_is_in_samples_of_the_record(tmp_path_factory, edges, rate):
    path = tmp_path_factory.mktemp("phn") / "a.phn"
    rows = list(zip([0, *edges], edges, (f"p{i}" for i in range(9)), strict=False))
    path.write_text("".join(f"{a} {b} {p}\n" for a, b, p in rows))
    found = attach(manifest("a", rate=rate), path).records[0].alignment
    assert found == {"phones": tuple(rows)}


@settings(max_examples=60, deadline=None)
@given(cuts, st.sampled_from(["ctm", "rttm"]))
def test_ctm_and_rttm_list_many_utterances_in_any_order(tmp_path_factory, edges, kind):
    path = tmp_path_factory.mktemp("list") / f"all.{kind}"
    starts = [0, *edges[:-1]]
    lines = [";; a comment"]
    for name in ("b", "a"):
        for i in reversed(range(len(edges))):
            start, length = starts[i] / 10000, (edges[i] - starts[i]) / 10000
            if kind == "ctm":
                lines.append(f"{name} 1 {start:.4f} {length:.4f} p{i} 0.9")
            else:
                lines.append(f"LEXEME {name} 1 {start:.4f} {length:.4f} p{i} lex ann 0.9")
    path.write_text("\n".join(lines))
    found = attach(manifest("a", "b", rate=10000, samples=10000), path)
    expected = tuple((a, b, f"p{i}") for i, (a, b) in enumerate(zip(starts, edges, strict=True)))
    assert [r.alignment["phones"] for r in found.records] == [expected, expected]


def test_rttm_of_speakers_has_no_phones(tmp_path):
    path = tmp_path / "x.rttm"
    lines = (
        "SPKR-INFO a 1 <NA> <NA> <NA> unknown ann <NA>\nSPEAKER a 1 0.1 0.2 <NA> <NA> ann <NA>\n"
    )
    path.write_text(lines)
    assert read(path) == {}
    with pytest.raises(ManifestError, match="no phones in it"):
        attach(manifest("a"), path)
    path.write_text(lines + "LEXEME a 1 0.1 0.2 s lex ann 0.9\n")
    assert [(r.label, float(r.end)) for r in read(path)["a"]] == [("s", pytest.approx(0.3))]


def test_times_rounded_one_by_one_touch(tmp_path):
    """A start and a length, each rounded to 10 ms, may overlap the next start by one step."""
    path = tmp_path / "x.ctm"
    path.write_text("a 1 0.10 0.11 s\na 1 0.20 0.10 iy\n")
    found = attach(manifest("a", rate=1000, samples=400), path)
    assert found.records[0].alignment["phones"] == ((100, 200, "s"), (200, 300, "iy"))
    path.write_text("a 1 0.10 0.15 s\na 1 0.20 0.10 iy\n")
    with pytest.raises(ManifestError, match=r"x\.ctm, line 2: 'iy' starts at 0\.200 s, before 's'"):
        attach(manifest("a", rate=1000, samples=400), path)


def test_files_are_found_by_path_by_id_and_by_stem(tmp_path):
    for place, label in (("dr1/sa1", "x"), ("dr2/sa1", "y"), ("deep/er/only", "z"), ("i-d", "w")):
        file = tmp_path / f"{place}.phn"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"0 10 {label}\n")
    found = attach(manifest("dr1/sa1", "dr2/sa1", "elsewhere/only", "i/d", "none"), tmp_path)
    labels = [(r.alignment or {}).get("phones") for r in found.records]
    assert labels == [*(((0, 10, p),) for p in "xyzw"), None]


def test_a_stem_that_two_records_share_is_no_name(tmp_path):
    (tmp_path / "sa1.phn").write_text("0 10 x\n")
    with pytest.raises(ManifestError, match="none of its 1 alignments \\('sa1' ...\\)"):
        attach(manifest("dr1/sa1", "dr2/sa1"), tmp_path)


def test_other_tiers_stay_and_the_old_one_goes(tmp_path):
    (tmp_path / "a.phn").write_text("0 10 x\n")
    old = {"phones": ((0, 5, "old"),), "words": ((0, 5, "word"),)}
    found = attach(manifest("a", "b", alignment=old), tmp_path).records
    assert found[0].alignment == {"phones": ((0, 10, "x"),), "words": ((0, 5, "word"),)}
    assert found[1].alignment == {"words": ((0, 5, "word"),)}


def test_a_row_may_end_a_little_past_the_audio_and_no_more(tmp_path):
    path = tmp_path / "a.ctm"
    path.write_text("a 1 0.5 0.55 s\n")
    assert attach(manifest("a"), path).records[0].alignment["phones"] == ((8000, 16000, "s"),)
    path.write_text("a 1 0 0.5 n\na 1 0.5 2 s\n")
    with pytest.raises(ManifestError, match=r"a.ctm, line 2: the row ends at 2.500 s, but record"):
        attach(manifest("a"), path)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.phn", "0 10 s\n10 x n\n", "line 2: '10 x n' is not `start end label` in samples"),
        ("a.phn", "0 10 s\n10 9 n\n", r"line 2: the row ends \(9\) before it starts \(10\)"),
        ("a.phn", "-1 10 s\n", "line 1"),
        ("a.ctm", "a 1 0.0 s\n", "line 1: a CTM line is"),
        ("a.ctm", "a 1 0.0 x s\n", "line 1: 'x' is not a time in seconds"),
        ("a.ctm", "a 1 0.0 -1 s\n", "line 1: '-1' is not a time"),
        ("a.ctm", "a 1 nan 1 s\n", "line 1: 'nan' is not a time"),
        ("a.ctm", "a 1 1e99 1 s\n", "line 1: '1e99' is not a time"),
        ("a.rttm", "SPEAKER a 1 0 1\n", "line 1: an RTTM line is"),
        ("a.TextGrid", "hello", 'cut off: "ooTextFile" is missing'),
        ("a.TextGrid", '"ooTextFile"\n"PitchTier"\n', "line 2: not a Praat TextGrid"),
        ("a.TextGrid", '"ooTextFile"\n"TextGrid"\n0\n1\n<absent>\n', "has no tiers"),
        ("a.TextGrid", short_form([("words", [(0, 1, "s")])], 1), "its interval tiers: 'words'"),
        ("a.TextGrid", short_form([("phones", [(0, 1, "s")])] * 2, 1), "has 2 tiers 'phones'"),
        ("a.TextGrid", short_form([("phones", [(0, 1, "s")])], 1)[:-6], "cut off"),
        ("a.TextGrid", short_form([("phones", [(0, "no", "s")])], 1), "line 15: 's' stands where"),
        ("a.TextGrid", short_form([("phones", [(1, 0, "s")])], 1), "line 13: the row ends"),
        ("a.txt", "", "is no alignment"),
    ],
)  # fmt: skip
def test_bad_files_are_one_line_with_file_and_line(tmp_path, name, text, message):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ManifestError, match=message) as error:
        attach(manifest("a"), path)
    assert "\n" not in str(error.value)
    assert name in str(error.value)


def test_bad_bytes_empty_folders_and_nothing_there(tmp_path):
    (tmp_path / "a.phn").write_bytes(b"0 10 \xff\xf0\n")
    with pytest.raises(ManifestError, match="neither UTF-8 nor UTF-16"):
        attach(manifest("a"), tmp_path)
    with pytest.raises(ManifestError, match="no alignments at"):
        attach(manifest("a"), tmp_path / "gone")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ManifestError, match="no .phn, .TextGrid, .ctm or .rttm file below"):
        attach(manifest("a"), tmp_path / "empty")


def test_one_utterance_in_two_lists_is_refused(tmp_path):
    for name in ("one.ctm", "two.ctm"):
        (tmp_path / name).write_text("a 1 0 0.5 s\n")
    with pytest.raises(ManifestError, match="two.ctm: 'a' has an alignment in another file too"):
        attach(manifest("a"), tmp_path)


def test_timit_phn_files_equal_what_prepare_reads(speech_root):
    if speech_root is None or not (speech_root / "timit-sample").is_dir():
        pytest.skip("needs the TIMIT sample")
    from audiovq.data.corpora.timit import Config, Timit

    root = speech_root / "timit-sample"
    utterances = list(Timit(Config()).utterances(root))
    records = [
        Record(id=u.id, path=u.path, sample_rate=16000, num_samples=1 << 20) for u in utterances
    ]
    found = attach(Manifest(root / "m", root, {}, records), root).records
    assert [r.alignment["phones"] for r in found] == [u.alignment["phones"] for u in utterances]
