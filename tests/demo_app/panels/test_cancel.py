"""Cancel, clicked while the work is under way: nothing has failed, and it goes again."""

import threading
from importlib import import_module

import pytest

from tests.demo_app.panels.conftest import needs_gradio
from tests.demo_app.panels.screen import Screen

pytestmark = needs_gradio
# by model: panel, its buttons, what is held up, and how and where its result appears
CASES = {
    "voices": [
        ("resynthesise", "", "demo_app.work.resynthesise.resynthesise", "link", "result"),
        ("compare", "", "demo_app.work.compare.resynthesise", "link", "player-1"),
        ("units", "", "demo_app.work.units.units", "picture", "picture"),
        ("voice", "", "demo_app.work.voice.convert", "link", "result"),
        ("voice", "find-", "demo_app.work.voice.nearest", "table", "table"),
    ],
    "plain": [("generate", "", "demo_app.work.generate.generate", "link", "piece-1")],
}


class Held:
    """A piece of work that waits until it is let go; from then on it passes."""

    def __init__(self, monkeypatch, where: str) -> None:
        module, name = where.rsplit(".", 1)
        work = getattr(import_module(module), name)
        self.begun, self.go = threading.Event(), threading.Event()

        def held(*given, **named):
            self.begun.set()
            assert self.go.wait(120)
            return work(*given, **named)

        monkeypatch.setattr(where, held)


def shown(page: Screen) -> list[str]:
    """Return what the open panel's parts say of their jobs, and every notice."""
    return page.page.evaluate(
        """panel => [
          ...[...document.querySelectorAll("[data-testid=status-tracker]")]
            .filter(e => e.parentElement.closest("[id]")?.id.startsWith(panel)),
          ...document.querySelectorAll("[data-testid=toast-body]")
        ].filter(e => e.offsetParent && !e.classList.contains("hide")).map(e => e.innerText.trim())
        .filter(text => text)""",
        page.panel,
    )


def settled(page: Screen) -> list[str]:
    """Return what is shown once no job is under way any more: seconds no longer go by."""
    for _ in range(400):
        before = shown(page)
        page.page.wait_for_timeout(300)
        if shown(page) == before:
            return before
    raise AssertionError(before)


def cancel(page: Screen, button: str, held: Held) -> None:
    """Begin the work, cancel it half-way, and let it end: a thread cannot be interrupted."""
    page.run(f"{button}run")
    assert held.begun.wait(120), (button, shown(page), page.panel)
    with page.page.expect_request("**/cancel"):
        page.run(f"{button}stop")
    with page.page.expect_request("**/reset"):  # the page's last word, once the job has ended
        page.page.wait_for_timeout(300)
        held.go.set()


@pytest.mark.parametrize("model", CASES)
def test_cancel_leaves_nothing_broken(model, browser, server, recording, monkeypatch):
    page = Screen(browser, server.url, CASES[model][0][0], model)
    page.page.set_default_timeout(120_000)
    page.upload(recording)
    try:
        for panel, button, where, how, place in CASES[model]:
            page.page.click(f"#panels button[role=tab]:has-text('{panel.capitalize()}')")
            page.panel = panel
            if button:
                page.page.click("text=Choose the voice by a recording")
                page.upload(recording, "voice-reference")
            held = Held(monkeypatch, where)
            cancel(page, button, held)
            assert settled(page) == [], where
            page.run(f"{button}run")
            getattr(page, how)(f"{panel}-{place}")
            assert settled(page) == [], where
        assert not page.faults
    finally:
        page.close()
