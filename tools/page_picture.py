"""Draws a page as it looks in a browser: a PNG for the documentation.

    python tools/page_picture.py docs/report.png outputs/sweep/report.html

It needs Chromium (Debian: apt-get install chromium).
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

# Swiftshader draws WebGL without a graphics card; in a container of root there is no sandbox.
FLAGS = ["--headless=new", "--no-sandbox", "--enable-unsafe-swiftshader"]


def anonymous(text: str) -> str:
    """A picture is for everybody: without the folders and the machine that it was made on."""
    before, start, rest = text.partition('id="data">')
    data, end, scripts = rest.partition("</script>")  # which the page's policy wants as they are
    data = data.replace(str(Path.cwd()), "/home/me/digits").replace(os.uname().nodename, "gpu-box")
    return f"{before}{start}{data}{end}{scripts}"


def draw(page: Page, path: Path, height: int) -> None:
    """Scroll through the page, so that all of it is drawn, and take the picture."""
    for section in page.locator("main > section").all():
        section.scroll_into_view_if_needed()
        page.wait_for_function("one => !one.hasAttribute('aria-busy')", arg=section.element_handle())
    page.evaluate("scrollTo(0, 0)")
    page.set_viewport_size({"width": page.viewport_size["width"] if page.viewport_size else 1280, "height": height})
    page.wait_for_function("() => !document.querySelector('[aria-busy]')")
    drawn = Image.open(io.BytesIO(page.screenshot()))
    # A page has few colours, and every clone of the repository carries the file.
    drawn.convert("RGB").quantize(256, method=Image.Quantize.FASTOCTREE).save(path, optimize=True)


def stop(error: object) -> None:
    """A page with an error in it is no picture to show."""
    raise SystemExit(f"the page says: {error}")


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path, help="the PNG to write")
    parser.add_argument("page", type=Path, help="the HTML file")
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=2096, help="of the picture: what is below is left out")
    parser.add_argument("--dark", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page_file = Path(folder) / "page.html"
        page_file.write_text(anonymous(asked.page.read_text(encoding="utf-8")), encoding="utf-8")
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page(
            viewport={"width": asked.width, "height": 1000},
            color_scheme="dark" if asked.dark else "light",
            reduced_motion="reduce",
        )
        page.on("pageerror", stop)
        page.goto(page_file.as_uri())
        draw(page, asked.picture, asked.height)
        browser.close()


if __name__ == "__main__":
    main()
