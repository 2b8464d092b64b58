"""Figures that long tests want seen: conftest prints them when all is done."""

FIGURES: list[str] = []


def tell(what: str, **figures: object) -> None:
    """Note figures of a test."""
    shown = ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in figures.items())
    FIGURES.append(f"{what}: {shown}")
