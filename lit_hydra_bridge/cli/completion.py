"""Tab completion where bash has taken a path apart: it splits words at `=`, and Lightning's names are full of them."""

from __future__ import annotations

import os


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
