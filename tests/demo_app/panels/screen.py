"""A page in the browser, by what a visitor does on it."""

import base64
import io
import re
from pathlib import Path

import numpy as np
import soundfile


class Screen:
    """The demo, open at a panel."""

    def __init__(
        self, browser, url, panel="resynthesise", model="plain", *, width=1200, dark=False
    ):
        self.context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            accept_downloads=True,
        )
        self.page = self.context.new_page()
        self.page.set_default_timeout(60_000)  # many tests may share the cores
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.faults: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda m: m.type == "error" and self.complaints.append(m.text))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.panel = panel
        self.page.goto(f"{url}?panel={panel}&model={model}")
        self.page.wait_for_selector(f"#{panel}-run", state="visible")
        self.page.wait_for_function(
            "name => document.querySelector('#model input')?.value === name", arg=model
        )

    def close(self) -> None:
        self.context.close()

    def upload(self, path: Path, where: str = "recording") -> None:
        """Give a file to a recording's place, and wait until it can be played."""
        self.page.set_input_files(f"#{where} input[type=file]", str(path))
        self.page.wait_for_selector(f"#{where} [data-testid=download-link], #{where} audio",
                                    state="attached")  # fmt: skip

    def run(self, what: str = "run") -> None:
        self.page.click(f"#{self.panel}-{what}")

    def heard(self, where: str, other_than: str = "") -> tuple[np.ndarray, int]:
        """Return the sound that a player was given: 16-bit samples and the rate (Hz)."""
        data = self.page.request.get(self.link(where, other_than)).body()
        return soundfile.read(io.BytesIO(data), dtype="int16")

    def link(self, where: str, other_than: str = "") -> str:
        """Return the address of a player's sound, once it is another than the one before."""
        self.page.wait_for_function(
            "([id, old]) => {"
            "const link = document.querySelector(`#${id} a[download]`);"
            "return link && link.href !== old; }",
            arg=[where, other_than],
        )
        return self.page.get_attribute(f"#{where} a[download]", "href")

    def clips(self, where: str) -> list[tuple[np.ndarray, int]]:
        """Return the sounds of the small players in a list."""
        self.page.wait_for_selector(f"#{where} audio")
        sources = [a.get_attribute("src") for a in self.page.query_selector_all(f"#{where} audio")]
        data = [base64.b64decode(s.removeprefix("data:audio/wav;base64,")) for s in sources]
        return [soundfile.read(io.BytesIO(d), dtype="int16") for d in data]

    def picture(self, where: str) -> tuple[int, int]:
        """Return the size (pixels) of a picture that has arrived and is on the page."""
        self.page.wait_for_function(
            "id => { const i = document.querySelector(`#${id} img`);"
            "return i && i.complete && i.naturalWidth > 0 && i.clientWidth > 100; }",
            arg=where,
        )
        size = self.page.evaluate(
            "id => { const i = document.querySelector(`#${id} img`);"
            "return [i.naturalWidth, i.naturalHeight]; }",
            where,
        )
        return tuple(size)

    def table(self, where: str) -> list[list[str]]:
        """Return the cells of a table that are on the page (long ones are drawn as they scroll)."""
        self.page.wait_for_selector(f"#{where} [data-testid=cell-0-0]")
        return self.page.evaluate(
            "id => [...document.querySelectorAll(`#${id} [role=row][data-index]`)].map("
            "row => [...row.querySelectorAll('[role=gridcell]')].map(c => c.innerText.trim()))",
            where,
        )

    def text(self, where: str) -> str:
        self.page.wait_for_selector(f"#{where}", state="visible")
        return self.page.inner_text(f"#{where}")

    def error(self) -> str:
        """Return the line that a refusal shows, and close it."""
        toast = self.page.wait_for_selector("[data-testid=toast-body]")
        line = re.sub(r"\s+", " ", toast.inner_text()).strip()
        self.page.click("[data-testid=toast-close]")
        return line

    def download(self, where: str) -> tuple[str, bytes]:
        """Return name and content of what a button downloads."""
        self.page.wait_for_function("id => !document.querySelector(`#${id}`).disabled", arg=where)
        with self.page.expect_download() as waiting:
            self.page.click(f"#{where}")
        return waiting.value.suggested_filename, Path(waiting.value.path()).read_bytes()

    def wider_than_page(self) -> int:
        """Return by how many pixels the page must be scrolled sideways."""
        return self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
