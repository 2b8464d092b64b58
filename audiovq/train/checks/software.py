"""Signs that packages do not fit each other, or lack a part."""

import re
from collections.abc import Callable

from audiovq.train.checks._base import Finding, Severity, judge, worst
from audiovq.train.facts.software import Software

# From this release on torchaudio is built against PyTorch's stable ABI and fits any torch from it
# on (pytorch/audio#4212); before, each release fits the torch of its own number alone.
STABLE = (2, 11)


def python(software: Software) -> Finding | None:
    """Find a Python that audiovq is not made for."""
    low, high = software.pythons
    if not low:
        return None
    now = number(software.python)
    outside = now < number(low) or bool(high and now >= number(high))
    return judge(
        Severity.problem if outside else Severity.ok,
        None,
        f"Python {software.python}; from {low}" + (f" to below {high}" if high else ""),
        good="audiovq is made for this Python",
        bad="audiovq is not made for this Python",
        advice="make a virtual environment of another Python and install audiovq there",
    )


def versions(software: Software) -> Finding | None:
    """Find packages that are missing, or older than pyproject.toml asks for."""
    missing = [n for n in software.least if software.versions.get(n) is None]
    old = {
        n: v
        for n, v in software.versions.items()
        if v is not None and n in software.least and number(v) < number(software.least[n])
    }
    if not software.least:
        return None
    figures = [f"{n} is not installed ({software.least[n]} or newer)" for n in missing]
    figures += [f"{n} {v}, {software.least[n]} or newer needed" for n, v in old.items()]
    wanted = " ".join(f"'{n}>={software.least[n]}'" for n in (*missing, *old))
    return judge(
        Severity.problem if figures else Severity.ok,
        None,
        ", ".join(figures) or ", ".join(f"{n} {v}" for n, v in software.versions.items()),
        good="all packages are new enough",
        bad="packages are missing" if missing else "packages are too old",
        advice=f"pip install {wanted}",
    )


def torchaudio(software: Software) -> Finding | None:
    """Find a torchaudio that does not load, or is of another release than torch."""
    torch, own = (software.versions.get(n) for n in ("torch", "torchaudio"))
    if torch is None or own is None:
        return None
    fits = _fit(torch, own)
    severity = worst(
        Severity.problem if software.broken else Severity.ok,
        Severity.ok if fits else Severity.warning,
    )
    bad = "torchaudio cannot be imported" if software.broken else "torch and torchaudio clash"
    part = "by a stand-in for its compiled part, which audiovq does not use"
    if software.refused:
        part += f" ({_short(software.refused)})"
    how = _short(software.broken) or (f"works {part}" if software.refused else "loads")
    return judge(
        severity,
        None,
        f"torch {torch}, torchaudio {own}: {how}",
        good="torch and torchaudio go together",
        bad=bad,
        advice=_advice(torch),
    )


def mp3(software: Software) -> Finding | None:
    """Find a libsndfile that does not read mp3."""
    return judge(
        Severity.ok if software.mp3 else Severity.warning,
        None,
        f"libsndfile {software.libsndfile}, mp3 {'read' if software.mp3 else 'not read'}",
        good="audio files can be read",
        bad="mp3 files cannot be read",
        advice="pip install --upgrade --force-reinstall soundfile, whose wheels bring libsndfile "
        "1.1 or newer; or convert the recordings to flac",
    )


def number(version: str) -> tuple[int, ...]:
    """Return a version's release as numbers: (2, 13, 0) of `2.13.0+cpu`; 3 or more of them."""
    found = tuple(map(int, re.findall(r"\d+", re.split(r"[+a-z-]", version, maxsplit=1)[0])))
    return found + (0,) * (3 - len(found))


def _fit(torch: str, own: str) -> bool:
    """Return whether torchaudio is of a release made for this torch."""
    a, b = number(torch)[:2], number(own)[:2]
    return a >= b if b >= STABLE else a == b


def _advice(torch: str) -> str:
    own = min(STABLE, number(torch)[:2])
    index = torch.partition("+")[2]
    where = f" --index-url https://download.pytorch.org/whl/{index}" if index else ""
    return f"pip install 'torchaudio=={own[0]}.{own[1]}.*'{where}"


def _short(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:197]}..."


CHECKS: tuple[Callable[[Software], Finding | None], ...] = (python, versions, torchaudio, mp3)
