"""A model card: what a model is, how it was trained, what it is worth, and its limits."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audiovq import release, weights
from audiovq.cards import front
from audiovq.cards.figures import Table
from audiovq.cards.front import Facts
from audiovq.cards.training import Training
from audiovq.cards.words import NO_WORDS, Words
from audiovq.errors import ConfigError

if TYPE_CHECKING:
    from audiovq.autoencoder import Autoencoder
    from audiovq.prior import TrainedPrior

_TAGS = {"autoencoder": ("audio", "speech", "autoencoder"), "prior": ("audio", "speech")}
_TASKS = {"autoencoder": "audio-to-audio", "prior": "other"}  # the hub's words
_UNSAID = "Not stated."
_STORAGE = {"F16": "float16", "F32": "float32"}


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of a model besides itself.

    Attributes:
        name: what it is to be called: its folder's name, or a hub id.
        words: what a person says.
        tables: what was measured.
        training: how it was trained.
        of: of a prior, name of the model whose codes it is of.
    """

    name: str
    words: Words = NO_WORDS
    tables: Sequence[Table] = ()
    training: Training | None = None
    of: str = ""


def of_model(model: "Autoencoder", folder: Path, known: Known) -> str:
    """Return the card of a model that is in a folder.

    Raises:
        ConfigError: a table is of another model.
    """
    facts = Facts(
        name=known.name,
        kind="autoencoder",
        summary=known.words.summary or f"autoencoder with {model.config.bottleneck.name}",
        data=known.training.data if known.training else "",
        sample_rate=model.sample_rate,
        frame_rate=model.frame_rate,
        codebook_sizes=model.codebook_sizes,
        bitrate=model.bitrate,
        parameters=model.num_parameters,
        storage=_stored(folder),
        fingerprint=model.fingerprint(),
    )
    c = model.config
    parts = {
        "encoder": c.encoder.name, "bottleneck": c.bottleneck.name, "decoder": c.decoder.name
    }  # fmt: skip
    use = f"""\
import audiovq

model = audiovq.load("{known.name}")
x = audiovq.audio.load("speech.wav", model.sample_rate)  # (1, 1, L)
x_hat = model.reconstruct(x)
"""
    use += "codes = model.encode(x)  # (1, K, T)\n" if model.is_discrete else "z = model.embed(x)\n"
    return _card(facts, known, parts, use)


def of_prior(prior: "TrainedPrior", folder: Path, known: Known) -> str:
    """Return the card of a prior that is in a folder.

    Raises:
        ConfigError: a table is of another prior.
    """
    codes = prior.about.codes
    name = prior.about.prior.name
    facts = Facts(
        name=known.name,
        kind="prior",
        summary=known.words.summary or f"{name} prior of codes of {codes.coder}",
        data=known.training.data if known.training else "",
        sample_rate=codes.sample_rate,
        frame_rate=codes.frame_rate,
        codebook_sizes=codes.codebook_sizes,
        bitrate=codes.frame_rate * sum(math.log2(n) for n in codes.codebook_sizes),
        parameters=sum(p.numel() for p in prior.module.parameters()),
        storage=_stored(folder),
        fingerprint=prior.fingerprint(),
        model=known.of,
        model_hash=codes.model_hash,
    )
    parts = {"prior": name, "codes of": known.of or codes.model_hash[:12]}
    use = f"""\
from audiovq import prior

trained = prior.load("{known.name}")
"""
    return _card(facts, known, parts, use)


def _card(facts: Facts, known: Known, parts: dict[str, str], use: str) -> str:
    """Return the whole text."""
    _refuse_others(facts, known.tables)
    words = known.words
    sections = [
        front.text(_front(facts, known)),
        f"# {facts.name}\n\n{_sentence(facts.summary)}\n",
        _section("What it is", _table(("", ""), _facts(facts, parts))),
        _section("Use", f"```python\n{use}```\n{_command(facts)}"),
        _section("For", _list(words.uses)),
        _section("Data", _data(facts, words)),
        _section("Training", _training(known.training)),
        _section("Figures", _figures(known.tables)),
        _section("Limits", _list(words.limits)),
    ]
    return "\n".join(sections)


def _front(facts: Facts, known: Known) -> dict[str, Any]:
    """Return what programs read: the hub's keys, and `audiovq`."""
    words = known.words
    values: dict[str, Any] = {}
    if words.license:
        values["license"] = words.license
    if words.language:
        values["language"] = list(words.language)
    values["library_name"] = "audiovq"
    if facts.kind == "autoencoder":
        values["pipeline_tag"] = _TASKS[facts.kind]
    values["tags"] = list(dict.fromkeys((*_TAGS[facts.kind], *words.tags)))
    if words.datasets:
        values["datasets"] = list(words.datasets)
    index = [_result(t, words, _TASKS[facts.kind]) for t in known.tables if t.metrics]
    if index:
        values["model-index"] = [{"name": facts.name, "results": index}]
    values["audiovq"] = facts.model_dump(mode="json")
    return values


def _result(table: Table, words: Words, task: str) -> dict[str, Any]:
    """Return a table as one result of the hub's `model-index`."""
    data = words.datasets[0] if words.datasets else "unknown"
    return {
        "task": {"type": task, "name": table.title.partition(":")[0]},
        "dataset": {"type": data, "name": table.title.partition(": ")[2], "split": table.split},
        "metrics": [{"type": m.type, "name": m.name, "value": m.value} for m in table.metrics],
    }


def _facts(facts: Facts, parts: dict[str, str]) -> list[tuple[str, str]]:
    sizes = facts.codebook_sizes
    rate = "continuous: none" if facts.bitrate is None else f"{facts.bitrate:g} bit/s, nominal"
    return [
        *parts.items(),
        ("sample rate", f"{facts.sample_rate} Hz"),
        ("frame rate", f"{facts.frame_rate:g} Hz"),
        *([("codebooks", f"{len(sizes)}, of {', '.join(map(str, sizes))} codes")] if sizes else []),
        ("rate", rate),
        ("parameters", f"{facts.parameters:,}"),
        ("stored as", f"{facts.storage}, computed in float32"),
        ("fingerprint", f"`{facts.fingerprint}`"),
    ]


def _command(facts: Facts) -> str:
    if facts.kind == "prior":
        return f"\n```bash\naudiovq sample {facts.name} {facts.model or 'MODEL'} -o samples\n```\n"
    return f"\n```bash\naudiovq resynth {facts.name} speech.wav -o out\n```\n"


def _data(facts: Facts, words: Words) -> str:
    lines = [words.credit] if words.credit else []
    if facts.data:
        lines.append(
            f"Trained on {facts.data}: the split `train`. The split `validation` chose among "
            f"checkpoints, and nothing of `test` was heard."
        )
    return "\n".join(lines) + "\n" if lines else f"{_UNSAID}\n"


def _training(training: Training | None) -> str:
    if training is None:
        return f"{_UNSAID}\n"
    return _table(("", ""), list(training.lines.items()))


def _figures(tables: Sequence[Table]) -> str:
    if not tables:
        return "Not measured: `audiovq evaluate` does, and `audiovq card --evaluation` shows it.\n"
    return "\n".join(_figure(t) for t in tables)


def _figure(table: Table) -> str:
    notes = _list(table.notes)
    return (
        f"{table.title}\n\n```bash\n{table.command}\n```\n\n"
        f"{_table(table.header, table.rows)}\n{notes}"
    )


def _section(title: str, text: str) -> str:
    return f"## {title}\n\n{text}"


def _list(sentences: Sequence[str]) -> str:
    return "".join(f"- {s}\n" for s in sentences) or f"{_UNSAID}\n"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:].rstrip('.')}." if text else ""


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(_cell(c) for c in line)} |\n" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _stored(folder: Path) -> str:
    """Return the type of most of a folder's weights in words."""
    types = weights.stored_types(folder / release.WEIGHTS)
    return next((name for key, name in _STORAGE.items() if key in types), "float64")


def _refuse_others(facts: Facts, tables: Sequence[Table]) -> None:
    for table in tables:
        if table.of != facts.fingerprint:
            raise ConfigError(
                f"{table.title!r} is of the model {table.of[:12]} and not of {facts.name}, which "
                f"is {facts.fingerprint[:12]}: evaluate the one that is stored (rounding to "
                f"float16 makes another)"
            )
