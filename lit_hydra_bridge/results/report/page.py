"""Data and template -> one HTML file that asks for nothing else."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any, Final

from lit_hydra_bridge.errors import ResultsError
from lit_hydra_bridge.files import opened, write_file
from lit_hydra_bridge.results.report.data import Choice, page_data
from lit_hydra_bridge.results.sweep_results import SweepResults

GENERATOR: Final = b'<meta name="generator" content="lit-hydra report">'
_SCRIPTS: Final = (
    "base", "sweep", "filter", "charts", "parallel", "effects", "curves", "timeline", "table", "job", "page",
)  # fmt: skip
_HEAD_BYTES: Final = 4096


def write_report(
    results: SweepResults,
    path: Path,
    *,
    choice: Choice = Choice(),  # noqa: B008
    force: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> None:
    """Write the page of a sweep; an older report at that place is replaced.

    Args:
        results: the sweep's.
        path: where to; what is there and is no report is left alone.
        choice: what the page shows at first.
        force: replace also what is no report.
        tell: is told how far the reading is.

    Raises:
        ResultsError: Plotly is not installed, there is no such metric, or the file can't be written.
    """
    plotly = _plotly()
    _check_place(path, force)
    text = page(page_data(results, choice, tell), plotly)
    try:
        write_file(path, text.encode("utf-8", "replace"))
    except OSError as error:
        raise ResultsError(f"{path}: it can't be written ({error.strerror or error})") from None


def page(data: dict[str, Any], plotly: str) -> str:
    """Return the page."""
    template = files(__package__) / "template"

    def read(name: str) -> str:
        return (template / name).read_text(encoding="utf-8")

    script = '(() => {\n"use strict";\n' + "\n".join(read(f"{name}.js") for name in _SCRIPTS) + "})();\n"
    return Template(read("page.html")).substitute(
        policy=_policy([plotly, script]),
        title=html.escape(f"{data['sweep']['name']} · lit-hydra report"),
        style=read("page.css"),
        data=_inert_json(data),
        plotly=plotly,
        script=script,
    )


def _policy(scripts: list[str]) -> str:
    """Return a Content-Security-Policy that knows these scripts and no network.

    Plotly makes functions from its own shaders' text, and styles its elements.
    """
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return (
        f"default-src 'none'; script-src {allowed} 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _inert_json(data: dict[str, Any]) -> str:
    """Return JSON in which nothing can end the element that it stands in; in ASCII, whatever the names hold."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _plotly() -> str:
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        raise ResultsError('a report needs plotly: pip install "lit-hydra-bridge[report]"') from None
    text: str = get_plotlyjs()
    if "</script" in text.lower() or "<!--" in text:
        raise ResultsError("this version of plotly can't be put into a page: take another one")
    return text


def _check_place(path: Path, force: bool) -> None:
    """Leave alone what nobody wants to lose."""
    if path.is_dir():
        raise ResultsError(f"{path}: it is a folder; name a file, such as {path / 'report.html'}")
    if not path.parent.is_dir():
        raise ResultsError(f"{path}: there is no folder {path.parent}; make it, or choose another place")
    if force or not path.exists():
        return
    with opened(path) as file:
        if GENERATOR not in file.read(_HEAD_BYTES):
            raise ResultsError(f"{path}: it is there, and no report; choose another name, or say --force")
