"""A box of tiny models like the one that comes with audiovq, with cards."""

import json

from audiovq import shipped
from audiovq.cards.words import Words
from audiovq.cards.write import write
from audiovq.config import parse
from audiovq.prior._release import About, TrainedPrior
from tests.helpers import small_model

WORDS = Words(
    summary="a tiny model",
    license="cc-by-4.0",
    datasets=("librispeech_asr",),
    limits=("It knows nothing.",),
    tags=("tiny",),
)


def tiny_prior(model, name="wavenet"):
    """An untrained prior of a model's codes."""
    codes = {
        "model_hash": model.fingerprint(),
        "coder": model.config.bottleneck.name,
        "sample_rate": model.sample_rate,
        "hop_length": model.hop_length,
        "codebook_sizes": model.codebook_sizes,
    }
    small = {"name": name, "channels": 4, "skip_channels": 4, "dilations": [1, 2]}
    counts = [[1] * n for n in model.codebook_sizes]
    return TrainedPrior.build(parse(About, {"prior": small, "codes": codes, "counts": counts}))


def fill(folder):
    """Fill a folder with a discrete model, a continuous one, and a prior of the first."""
    import audiovq

    small_model().save(folder / "tiny-vq", half=True)
    small_model("identity").save(folder / "tiny-ae", half=True)
    tiny_prior(audiovq.load(folder / "tiny-vq")).save(folder / "tiny-prior", half=True)
    for name, of in (("tiny-vq", ""), ("tiny-ae", ""), ("tiny-prior", "tiny-vq")):
        write(folder / name, words=WORDS, of=of)
    return folder


def use(monkeypatch, folder):
    """Let a folder be the box."""
    monkeypatch.setattr(shipped, "FOLDER", folder)


def evaluation(model, **changes):
    """A reconstruction report as `audiovq evaluate -o` writes it, of a model."""
    value = {"value": 5.25, "low": 5.0, "high": 5.5, "interval": "bootstrap over 9 speakers"}
    more = {"count": 9, "unit": "dB", "better": "lower", "definition": "..."}
    found = {
        "format": "audiovq.evaluation",
        "version": 2,
        "model": {"fingerprint": model.fingerprint(), "bottleneck": "vq_ema"},
        "data": {
            "manifest": "/home/ann/speech.jsonl", "manifest_fingerprint": "abcdef0123456789",
            "split": "test", "utterances": 9, "of": 20, "speakers": 9, "hours": 0.05,
        },
        "machine": {"device": "cpu", "cpu": "A CPU", "threads": 1, "torch": "2.13"},
        "date": "2026-11-21T11:28:19+00:00",
        "values": {"log_mel_distance": {**value, **more}, "peak_memory": {**value, **more}},
        "notes": ["a note"],
    }  # fmt: skip
    return json.dumps(found | changes)
