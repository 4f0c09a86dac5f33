"""Tab completion: of config keys, and where bash has taken a path apart.

bash splits words at `=`, and Lightning's names are full of them.
"""

from __future__ import annotations

import os
import re
from typing import Any

import click


def complete_config_key(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Offer the keys of the config in the checkpoint that was typed before."""
    from lit_hydra_bridge.reload.checkpoint import read_record

    try:
        resolved = read_record(str(context.params.get("path"))).config.resolved
    except Exception:  # a half-typed path; completion stays silent
        return []
    keys = (key for key in _dotted_keys(resolved) if key.startswith(incomplete))
    # A completed word goes to the shell as it is: nothing that a shell would interpret.
    return [key for key in keys if re.fullmatch(r"[\w.+@/-]+", key)]


def complete_metric(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Offer the metrics of the sweep whose folder was typed before."""
    from lit_hydra_bridge.results.read import read_sweep

    # Click gives up on the line at an option without its value, and leaves what was before it in `args`.
    folder = context.params.get("folder") or next(iter(context.args), "")
    try:
        names = read_sweep(folder).metric_names
    except Exception:  # a half-typed path; completion stays silent
        return []
    return [name for name in names if name.startswith(incomplete) and re.fullmatch(r"[\w.+@/-]+", name)]


def _dotted_keys(value: Any, prefix: str = "") -> list[str]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [key for name, child in items for key in (f"{prefix}{name}", *_dotted_keys(child, f"{prefix}{name}."))]


def join_split_words() -> None:
    """Put `epoch`, `=`, `0-step`, `=`, `2.ckpt` together again, in the variables that bash completion passes."""
    words = os.environ.get("COMP_WORDS", "").split("\n")
    position = os.environ.get("COMP_CWORD", "")
    if not position.isdigit() or "=" not in words:
        return
    joined: list[str] = []
    current = int(position)
    glue = False
    for index, word in enumerate(words):
        if joined and (word == "=" or glue):
            joined[-1] += word
            current -= index <= int(position)
        else:
            joined.append(word)
        glue = word == "="
    os.environ["COMP_WORDS"] = "\n".join(joined)
    os.environ["COMP_CWORD"] = str(current)


def complete_column(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Offer the columns of the jobs in the folders that were typed before, after what is typed of a list."""
    before, comma, last = incomplete.rpartition(",")
    mark = last[:1] if last[:1] in ("-", "+") else ""
    names = (name for name in _columns(context) if name.startswith(last.removeprefix(mark)))
    return [f"{before}{comma}{mark}{name}" for name in names if re.fullmatch(r"[\w.+@/-]+", name)]


def _columns(context: click.Context) -> list[str]:
    from lit_hydra_bridge.cli.ls_listing import Wish, take

    # Where an option's value is missing, as it is here, click leaves the arguments where they were.
    typed = context.params.get("folders") or [word for word in context.args if not word.startswith("-")]
    try:
        folders = tuple(str(folder) for folder in typed or ["."])
        return [each.name for each in take(Wish(folders=folders)).fields.all]
    except Exception:  # a half-typed path; completion stays silent
        return []
