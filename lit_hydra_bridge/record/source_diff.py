"""`git diff` -> a patch that `git apply` takes, and that gives the same bytes again.

text in UTF-8                    git's own hunks
binary, or text of another code  the new content, as git's binary patch: a record can be shown, and is JSON one day
secrets, too long, submodules    left out and named; what may be seen of it follows in lines with `#`

`git apply` passes over lines in front of and behind its patches, so the rest of the diff stays usable.
"""

from __future__ import annotations

import ast
import base64
import hashlib
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from lit_hydra_bridge.record.diff_redaction import redact_diff
from lit_hydra_bridge.record.redaction import Redactor
from lit_hydra_bridge.text import one_line

# Whatever the user's git is set to show, this is a diff that can be taken apart and applied.
DIFF_COMMAND: Final = (
    "diff", "--no-color", "--no-ext-diff", "--no-textconv", "--src-prefix=a/", "--dst-prefix=b/", "--no-relative",
    "--unified=3", "--inter-hunk-context=0", "--find-renames", "--full-index", "--submodule=short",
    "--ignore-submodules=untracked", "HEAD",
)  # fmt: skip
# More than fits under the limit when packed, and little enough to redact in a fraction of a second.
_MOST_CHARACTERS: Final = 2_000_000
_MOST_GAPS: Final = 20
_SECTION: Final = re.compile(rb"^(?=diff --git )", re.MULTILINE)
_BODY: Final = re.compile(rb"^(?:--- |@@ |Binary files )", re.MULTILINE)
_FUNCTION: Final = re.compile(rb"^(@@ -[\d,]+ \+[\d,]+ @@).*$", re.MULTILINE)
_INDEX: Final = re.compile(rb"^index [0-9a-f]+\.\.(?P<new>[0-9a-f]+)(?: (?P<mode>\d+))?$", re.MULTILINE)
_NEW_MODE: Final = re.compile(rb"^new (?:file )?mode (?P<mode>\d+)$", re.MULTILINE)
_RENAMED: Final = re.compile(rb"^(?:rename|copy) to (?P<name>.+)$", re.MULTILINE)
_SUBMODULE: Final = re.compile(rb"^(?:index \S+|(?:new|deleted) file mode|(?:old|new) mode) 160000$", re.MULTILINE)
_DIRTY: Final = re.compile(rb"^\+Subproject commit \w+-dirty$", re.MULTILINE)
TOO_LONG: Final = "longer than the limit"


@dataclass(frozen=True)
class FileChange:
    """What was changed in one file."""

    path: str
    patch: str
    """What `git apply` takes; empty where there is none."""
    content: bytes = b""
    """The new bytes, where the patch is a binary one: secrets are looked for in here."""
    problem: str = ""
    """Why the patch does not give the file again."""


@dataclass(frozen=True)
class StoredDiff:
    """What may be stored of all changes."""

    packed: str | None = None
    """zlib-compressed, base64; None where there is nothing."""
    gaps: list[str] = field(default_factory=list)
    """The files whose change is not in it, each with the reason."""
    is_cut: bool = False
    """Whether one of them was too long."""


def changes_in(diff: bytes, root: Path, *, most_bytes: int) -> list[FileChange]:
    """Take a diff apart.

    Args:
        diff: what git printed for DIFF_COMMAND.
        root: the repository's folder, which the diff's paths begin at.
        most_bytes: a longer diff is one that was cut, and a file with more is not read.
    """
    changes: list[FileChange] = []
    sections = _SECTION.split(diff)[1:]
    for i, section in enumerate(sections):
        change = _change(section, root, most_bytes)
        if len(diff) > most_bytes and i == len(sections) - 1:
            change = replace(change, patch="", content=b"", problem=TOO_LONG)
        if changes and changes[-1].path == change.path:  # a file that became a link is deleted and made
            before = changes.pop()
            change = replace(
                change,
                patch=before.patch + change.patch,
                content=before.content + change.content,
                problem=before.problem or change.problem,
            )
        changes.append(change)
    return changes


def _change(section: bytes, root: Path, most_bytes: int) -> FileChange:
    start = _BODY.search(section)
    header = section[: start.start()] if start else section
    name = _name(header)
    path = os.fsencode(name).decode("utf-8", "replace")
    index = _INDEX.search(header)
    if _SUBMODULE.search(header) or (start and index is None):  # git has no name for one with changes
        state = "has changes of its own" if _DIRTY.search(section) else "is not at the commit that HEAD names"
        return FileChange(path, _text(section) or "", problem=f"a submodule, which {state}")
    text = None if start and section.startswith(b"Binary files ", start.start()) else _text(section)
    if index is None:  # a mode or a name alone
        return FileChange(path, text or "", problem="" if text is not None else "git's answer could not be read")
    new = index["new"].decode()
    content, problem = _content(root / name, new, _mode(index, header), most_bytes)
    if problem:
        return FileChange(path, text or "", problem=problem)
    if text is not None and _hash(content, new) == new:
        return FileChange(path, text)
    named = header.decode("ascii").replace(f"..{new}", f"..{_hash(content, new)}" if content else f"..{new}", 1)
    return FileChange(path, named + _literal(content), content)


def _name(header: bytes) -> str:
    """Return the file's name, in the form that Python's functions take."""
    if renamed := _RENAMED.search(header):
        return os.fsdecode(_unquoted(renamed["name"]))
    both = header.partition(b"\n")[0].removeprefix(b"diff --git ")
    return os.fsdecode(_unquoted(both[len(both) // 2 + 1 :])[2:])  # the same name twice, behind a/ and b/


def _unquoted(name: bytes) -> bytes:
    return bytes(ast.literal_eval("b" + name.decode("ascii"))) if name.startswith(b'"') else name


def _text(section: bytes) -> str | None:
    """Return a section as text; None where it is no UTF-8. git may cut the name behind @@ inside a letter."""
    for candidate in (section, _FUNCTION.sub(rb"\1", section)):
        try:
            return candidate.decode()
        except UnicodeDecodeError:
            continue
    return None


def _mode(index: re.Match[bytes], header: bytes) -> bytes:
    found = _NEW_MODE.search(header)
    return index["mode"] or (found["mode"] if found else b"")


def _content(file: Path, new: str, mode: bytes, most_bytes: int) -> tuple[bytes, str]:
    """Return a file's new bytes; and what is wrong where git has seen others, line endings aside."""
    if not new.strip("0"):
        return b"", ""  # deleted
    try:
        if mode == b"120000":
            content = os.fsencode(file.readlink())
        elif file.stat().st_size > most_bytes:
            return b"", TOO_LONG
        else:
            content = file.read_bytes()
    except OSError as error:
        return b"", f"could not be read: {error.strerror}"
    if _hash(content, new) == new:
        return content, ""
    if content.count(b"\n") == content.count(b"\r\n") and _hash(content.replace(b"\r\n", b"\n"), new) == new:
        return content, ""
    return b"", "git's filters or line endings change it, or it was just being written"


def _hash(content: bytes, like: str) -> str:
    """Return git's name for a file's content; a repository has all names of one length."""
    hasher = hashlib.new("sha1" if len(like) == 40 else "sha256", b"blob %d\0" % len(content), usedforsecurity=False)
    hasher.update(content)
    return hasher.hexdigest()


def _literal(content: bytes) -> str:
    """Return content as `git diff --binary` writes it: lines of 52 bytes, with their number as a letter in front."""
    packed = zlib.compress(content, 9)
    lines = [f"GIT binary patch\nliteral {len(content)}\n"]
    for at in range(0, len(packed), 52):
        chunk = packed[at : at + 52]
        lines.append(f"{chr(len(chunk) + (64 if len(chunk) <= 26 else 70))}{base64.b85encode(chunk, True).decode()}\n")
    return "".join([*lines, "\n"])


def stored_diff(changes: Sequence[FileChange], redactor: Redactor, *, limit_bytes: int) -> StoredDiff:
    """Return what may be stored: as many files as fit, the smallest first, none of them with secrets.

    Args:
        changes: of each file.
        redactor: finds the secrets.
        limit_bytes: the most to store, packed.
    """
    order = sorted(range(len(changes)), key=lambda i: len(changes[i].patch))
    kept: dict[int, str] = {}
    left_out: dict[int, tuple[str, str]] = {}
    characters = size = 0
    for i in order:
        change, problem = changes[i], changes[i].problem
        characters += len(change.patch)
        seen = ""
        if characters > _MOST_CHARACTERS:
            problem = problem or TOO_LONG
        elif not change.content:
            seen = redact_diff(change.patch, redactor)
        if not problem and (_holds_secrets(change, redactor) if change.content else seen != change.patch):
            problem = "secrets in it were redacted"
        if not problem:
            size += len(_packed(change.patch))
            problem = TOO_LONG if size > limit_bytes else ""
        if problem:
            left_out[i] = (problem, seen)
        else:
            kept[i] = change.patch
    gaps = [f"{one_line(redactor.text(changes[i].path))}: {left_out[i][0]}" for i in sorted(left_out)]
    text = "".join(kept[i] for i in sorted(kept))
    remarks = [line for i, gap in zip(sorted(left_out), gaps, strict=True) for line in _remark(gap, left_out[i][1])]
    return StoredDiff(
        _packed_within(text, remarks, limit_bytes),
        gaps if len(gaps) <= _MOST_GAPS else [*gaps[:_MOST_GAPS], f"{len(gaps) - _MOST_GAPS} more files"],
        is_cut=any(problem == TOO_LONG for problem, _ in left_out.values()),
    )


def _holds_secrets(change: FileChange, redactor: Redactor) -> bool:
    """Look at bytes as at lines that were added; without zeros, UTF-16 is mostly readable."""
    lines = change.content.replace(b"\0", b"").decode("latin-1").split("\n")
    header = change.patch.partition("\n")[0]
    text = "\n".join([header, f"@@ -0,0 +1,{len(lines)} @@", *(f"+{line}" for line in lines)])
    return redact_diff(text, redactor) != text


def _remark(gap: str, seen: str) -> Iterator[str]:
    yield f"# Not in this patch: {gap}\n"
    yield from (f"# {line}\n" for line in seen.split("\n")[:-1])


def _packed_within(text: str, remarks: list[str], limit_bytes: int) -> str | None:
    """Pack the patch with as many remarks as fit behind it."""
    while True:
        whole = text + "".join(remarks)
        packed = _packed(whole) if whole else ""
        if len(packed) <= limit_bytes:
            return packed or None
        if not remarks:
            return None
        remarks = remarks[: int(len(remarks) * min(0.9, limit_bytes / len(packed)))]


def _packed(text: str) -> str:
    return base64.b64encode(zlib.compress(text.encode(), 6)).decode("ascii")
