"""What a container or a batch system allows this process, as Linux control groups tell it."""

from collections.abc import Iterator
from pathlib import Path

ROOT, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def cores(root: Path = ROOT, own: Path = OWN) -> float | None:
    """Return how many cores' worth of time is allowed; None for no limit."""
    found = []
    for folder in _folders(root, own, "cpu"):
        quota, _, period = _read(folder / "cpu.max").partition(" ")
        if not quota:  # version 1
            quota, period = (_read(folder / f"cpu.cfs_{n}_us") for n in ("quota", "period"))
        if quota.isdecimal() and period.isdecimal() and int(period):
            found.append(int(quota) / int(period))
    return min(found, default=None)


def memory(root: Path = ROOT, own: Path = OWN) -> tuple[int, int] | None:
    """Return the tightest limit of memory and what is used of it (bytes); None for no limit."""
    found = []
    for folder in _folders(root, own, "memory"):
        for limit, usage in (
            ("memory.max", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):
            most, used = _read(folder / limit), _read(folder / usage)
            # version 1 says "no limit" as a number of nearly 2^63
            if most.isdecimal() and used.isdecimal() and int(most) < 1 << 60:
                found.append((int(most), int(used)))
    return min(found, key=lambda f: f[0] - f[1], default=None)


def _folders(root: Path, own: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of this process's group and of all groups around it."""
    for line in _read(own).splitlines():
        _, names, path = (*line.split(":", 2), "", "")[:3]
        if names and controller not in names.split(","):
            continue
        # version 2 has one tree, without names; version 1 one for each set of controllers
        mounts = (root / name for name in (names, controller) if name)
        top = next((m for m in mounts if names and m.is_dir()), root)
        group = top / path.lstrip("/")
        yield from (f for f in (group, *group.parents) if f == top or top in f.parents)


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
