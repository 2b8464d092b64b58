"""Cancel, clicked while the work is under way: nothing has failed, and it goes again."""

import threading

import pytest

from tests.demo_app.panels.conftest import needs_gradio
from tests.demo_app.panels.screen import Screen

pytestmark = needs_gradio


class Gate:
    """Holds up a piece of work until it is opened; lets it pass from then on."""

    def __init__(self, monkeypatch, where: str) -> None:
        from importlib import import_module

        module, name = where.rsplit(".", 1)
        work = getattr(import_module(module), name)
        self.reached, self.open = threading.Event(), threading.Event()

        def held(*given, **named):
            self.reached.set()
            assert self.open.wait(30)
            return work(*given, **named)

        monkeypatch.setattr(where, held)


# panel, its model, buttons, what is held up, where its result appears
CASES = {
    "resynthesise": ("layers", "", "demo_app.work.resynthesise.resynthesise", "link:result"),
    "compare": ("plain", "", "demo_app.work.compare.resynthesise", "link:player-1"),
    "units": ("plain", "", "demo_app.work.units.units", "picture:picture"),
    "voice": ("voices", "", "demo_app.work.voice.convert", "link:result"),
    "voice, by example": ("voices", "find-", "demo_app.work.voice.nearest", "table:table"),
    "generate": ("plain", "", "demo_app.work.generate.generate", "link:piece-1"),
}


def failures(page: Screen) -> list[str]:
    """Return where the page shows that something has failed."""
    return page.page.evaluate(
        "() => [...document.querySelectorAll('span.error, [data-testid=toast-body]')]"
        ".filter(e => e.offsetParent).map(e => e.closest('[id]')?.id + ': ' + e.innerText)"
    )


def waits(page: Screen) -> None:
    """Wait until no job shows that it is under way, or until one has failed."""
    page.page.wait_for_function(
        "() => ![...document.querySelectorAll('[data-testid=status-tracker]')]"
        ".some(e => e.offsetParent && /\\d+\\.\\ds/.test(e.innerText))"
    )
    page.page.wait_for_timeout(200)


@pytest.mark.parametrize("case", CASES)
def test_cancel_leaves_nothing_broken(case, browser, server, recording, monkeypatch):
    model, button, where, result = CASES[case]
    panel = case.split(",")[0]
    gate = Gate(monkeypatch, where)
    page = Screen(browser, server.url, panel, model)
    page.page.set_default_timeout(30_000)
    try:
        page.upload(recording)
        if button:
            page.page.click("text=Choose the voice by a recording")
            page.upload(recording, "voice-reference")
        page.run(f"{button}run")
        assert gate.reached.wait(30)
        page.run(f"{button}stop")
        gate.open.set()  # a thread cannot be interrupted: the job ends where it next looks up
        waits(page)
        assert failures(page) == []
        page.run(f"{button}run")
        kind, place = result.split(":")
        getattr(page, kind)(f"{panel}-{place}")
        assert failures(page) == []
        assert not page.faults
    finally:
        gate.open.set()
        page.close()
