"""A real Chromium without a screen and without a network, for tests of pages."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None,
    reason="THE PAGE IS NOT TESTED: there is no Chromium here (Debian: apt-get install chromium)",
)
# Swiftshader draws WebGL where there is no graphics card. In a container of root there is no sandbox.
_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-unsafe-swiftshader", "--disable-quic",
    "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


@contextmanager
def chromium() -> Iterator[Any]:
    """Start a browser with a profile of its own."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(_FLAGS))
        yield browser
        browser.close()


@dataclass
class Opened:
    """A page that was opened from disk, and what the browser has said of it."""

    tab: Any
    """Playwright's page."""
    errors: list[str] = field(default_factory=list)
    """On the console, and exceptions that nobody caught."""
    requests: list[str] = field(default_factory=list)
    """To anything but the file itself."""

    def ask(self, script: str, *arguments: Any) -> Any:
        """Return what a script in the page gives."""
        return self.tab.evaluate(script, *arguments)

    def texts(self, selector: str) -> list[str]:
        """Return the texts of all elements that a selector finds."""
        return list(
            self.tab.locator(selector).evaluate_all("all => all.map((one) => one.innerText ?? one.textContent)")
        )

    def column(self, name: str) -> list[str]:
        """Return a column of the table of jobs."""
        self.show("jobs")
        heads = [text.rstrip(" ↑↓") for text in self.texts("#table thead th")]
        return self.texts(f"#table tbody tr > td:nth-child({heads.index(name) + 1})")

    def show(self, section: str) -> None:
        """Scroll to a section, and wait until it is drawn."""
        self.tab.locator(f"#{section}").scroll_into_view_if_needed()
        self.tab.wait_for_selector(f"#{section}:not([aria-busy])")

    def reset(self) -> None:
        """Go back to what the page shows at first, wide and light; from here on errors count anew."""
        self.errors.clear()
        self.requests.clear()
        self.tab.set_viewport_size({"width": 1600, "height": 1000})
        self.tab.emulate_media(color_scheme="light")
        self.tab.keyboard.press("Escape")
        if self.tab.locator("#clear").is_visible():
            self.tab.click("#clear")
        if self.ask("document.querySelector('#metric').value") != "0":  # what changes draws all anew
            self.tab.select_option("#metric", index=0)
        self.tab.mouse.move(0, 0)
        self.ask("scrollTo(0, 0)")
        self.settle()

    def check(self) -> None:
        """The browser has said no error, and has asked for nothing."""
        assert self.errors == []
        assert self.requests == []

    def filter(self, text: str, shown: str) -> None:
        """Type into the filter, and wait for what is said of it."""
        self.ask("document.querySelector('#shown').textContent = ''")
        self.tab.fill("#filter", text)
        self.tab.wait_for_function(f"document.querySelector('#shown').textContent === '{shown}'")
        self.settle()

    def settle(self) -> None:
        """Wait until all that is in view is drawn."""
        self.tab.wait_for_function("""() => ![...document.querySelectorAll("[aria-busy]")].some((one) => {
            const { top, bottom } = one.getBoundingClientRect();
            return bottom > 0 && top < innerHeight;
        })""")


@contextmanager
def opened(browser: Any, path: Path, *, width: int = 1600, height: int = 1000, **how: Any) -> Iterator[Opened]:
    """Open a file with the network cut; no error, no request."""
    permissions = ["clipboard-read", "clipboard-write"]
    context = browser.new_context(
        offline=True,
        viewport={"width": width, "height": height},
        permissions=permissions,
        reduced_motion="reduce",
        **how,
    )
    page = context.new_page()
    found = Opened(page)
    page.on("console", lambda said: found.errors.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: found.errors.append(str(error)))
    url = path.resolve().as_uri()
    page.on("request", lambda asked: found.requests.append(asked.url) if _leaves(asked.url, url) else None)
    page.goto(url)
    try:
        found.settle()
        found.check()
        yield found
    finally:
        context.close()


def _leaves(url: str, own: str) -> bool:
    return url.partition("#")[0] != own and not url.startswith(("data:", "blob:"))
