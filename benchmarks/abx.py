"""ABX of the TIMIT sample against plain Python, one triple and one warping at a time.

python benchmarks/abx.py MANIFEST UNITS [--model MODEL] [--save]

MANIFEST has an alignment tier `phones` (TIMIT's 61 labels); UNITS is what `audiovq extract` made
of it with MODEL, whose code vectors are used too if it is given. Plain Python runs the triphone
task whole, and the phoneme task over two speakers (`same triples`), since it would take minutes.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _common import finish

import audiovq
from audiovq import units
from audiovq.data import manifest as manifests
from audiovq.eval import abx
from audiovq.eval.abx import Score, Utterance
from audiovq.eval.folding import fold
from audiovq.units.coder import ModelCoder

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.eval.plain_abx import plain_abx

ROUNDS, SPEAKERS = 3, 2
NO_SA = "sa.*"


def utterances(manifest: str, folder: str) -> list[Utterance]:
    coded = units.load(folder)
    hop = 1 / coded.metadata.frame_rate
    known = {r.id: r for r in manifests.read(manifest).records}
    result = []
    for unit in coded:
        record = known[unit.id]
        rate, rows = record.sample_rate, (record.alignment or {})["phones"]
        phones = tuple((s / rate, e / rate, fold(p)) for s, e, p in rows)
        sentence, speaker = unit.id.split("-")[-1], str(record.speaker)
        result.append(Utterance(unit.id, speaker, sentence, hop, phones, unit.codes[0].numpy()))
    return result


def timed(function: Callable[[], Any], rounds: int = 1) -> tuple[Any, float]:
    """The result, and the least time: nothing here is random, and the machine is shared."""
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        result = function()
        seconds.append(time.perf_counter() - start)
    return result, min(seconds)


def against_plain(corpus: list[Utterance]) -> list[dict[str, Any]]:
    names = sorted({u.speaker for u in corpus})[:SPEAKERS]
    few = [u for u in corpus if u.speaker in names]
    rows = []
    for task, mode, chosen in (
        ("triphone", "within", corpus),
        ("triphone", "across", corpus),
        ("phoneme", "within", few),
        ("phoneme", "across", few),
    ):
        score, seconds = timed(lambda t=task, m=mode, c=chosen: abx.evaluate(c, task=t, mode=m), 3)
        plain, slow = timed(
            lambda t=task, m=mode, c=chosen: plain_abx(c, t, m, lambda x, y: float(x != y))
        )
        assert abs(score.error - plain[0]) < 1e-9
        assert (score.cells, score.triples, score.pairs) == plain[1:]
        rows.append({"task": task, "mode": mode, "utterances": len(chosen), "pairs": score.pairs,
                     "triples": score.triples, "error": score.error, "seconds": seconds,
                     "plain_seconds": slow, "ratio": slow / seconds})  # fmt: skip
    return rows


def figures(corpus: list[Utterance], vectors: np.ndarray | None) -> list[dict[str, Any]]:
    rows = []
    for task in ("triphone", "phoneme"):
        for distance in ("identity", *(("euclidean", "angular") if vectors is not None else ())):
            for mode in ("within", "across"):
                for excluded in (None, NO_SA):
                    score, seconds = timed(
                        lambda t=task, d=distance, m=mode, e=excluded: abx.evaluate(
                            corpus, task=t, mode=m, distance=d, vectors=vectors, exclude_sentences=e
                        ),
                        ROUNDS,
                    )
                    rows.append(row(score, seconds))
    return rows


def row(score: Score, seconds: float) -> dict[str, Any]:
    names = ("task", "mode", "distance", "excluded", "error", "low", "high", "items", "speakers",
             "cells", "triples", "pairs")  # fmt: skip
    return {n: getattr(score, n) for n in names} | {"seconds": seconds}


def main() -> None:
    given = [a for a in sys.argv[1:] if not a.startswith("--")]
    model = sys.argv[sys.argv.index("--model") + 1] if "--model" in sys.argv else None
    corpus = utterances(given[0], given[1])
    vectors = None if model is None else ModelCoder(audiovq.load(model)).vectors()
    table = None if vectors is None else vectors.numpy()
    rows = figures(corpus, table)
    both, seconds = timed(lambda: abx.evaluate_all(corpus, vectors=table, exclusions=(None, NO_SA)))
    plain = against_plain(corpus)
    lines = [["task", "speakers", "distance", "without", "error %", "interval", "cells", "triples",
              "pairs", "s"]]  # fmt: skip
    for r in rows:
        ends = f"{100 * r['low']:.1f}-{100 * r['high']:.1f}" if r["low"] is not None else ""
        lines.append([r["task"], r["mode"], r["distance"], r["excluded"] or "-",
                      f"{100 * r['error']:.2f}", ends, f"{r['cells']:,}", f"{r['triples']:,}",
                      f"{r['pairs']:,}", f"{r['seconds']:.2f}"])  # fmt: skip
    lines.append([f"all {len(both)} together", *[""] * 8, f"{seconds:.2f}"])
    for r in plain:
        what = ["identity", f"{r['utterances']} utt.", f"plain: {r['ratio']:.0f}x", "", ""]
        counts = [f"{r['triples']:,}", f"{r['pairs']:,}", f"{r['plain_seconds']:.2f}"]
        lines.append([r["task"], r["mode"], *what, *counts])
    values = {"figures": rows, "together_seconds": seconds, "against_plain_python": plain}
    finish("abx", values, lines)


if __name__ == "__main__":
    main()
