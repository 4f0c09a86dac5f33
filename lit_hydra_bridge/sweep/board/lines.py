"""The words of a sweep: durations, values and one-line messages, as plain text that is safe to print."""

from __future__ import annotations

import math
import re
import time
from typing import Final

from lit_hydra_bridge.sweep.board.state import EndedRow, RunningRow, Snapshot
from lit_hydra_bridge.sweep.job import Outcome
from lit_hydra_bridge.text import one_line, printable

_MOST_CHARACTERS: Final = 4000
_EXACT_BELOW: Final = 10**15
# Which width this one gives to the character before it is a matter of the terminal.
_VARIATION_SELECTOR: Final = "\ufe0f"
_ESCAPE: Final = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c|\Z)"  # OSC, DCS: titles, links
    r"|\x1b[ -/]*[0-~]"
)
_COLOUR: Final = re.compile(r"(\x1b\[[0-9;:]*m)")


def inert(value: object) -> str:
    """Return text from outside on one line, without anything that could drive a terminal."""
    text = value if isinstance(value, str) else str(value)
    if len(text) > _MOST_CHARACTERS:
        text = text[:_MOST_CHARACTERS] + "…"
    # one_line leaves the line separators U+2028 and U+2029.
    return " ".join(one_line(text).replace(_VARIATION_SELECTOR, "").splitlines())


def job_output(line: str, *, colours: bool) -> str:
    """Return a line that a job printed without control sequences; those that colour text may stay.

    Of what overwrites itself by carriage returns, the last state is left.
    """
    line = line.rstrip("\r\n").rpartition("\r")[2]
    if line.isascii() and line.isprintable():
        return line
    line = _ESCAPE.sub(lambda found: found[0] if colours and _COLOUR.fullmatch(found[0]) else "", line)
    pieces = _COLOUR.split(line)
    pieces[::2] = [one_line(re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "", piece)) for piece in pieces[::2]]
    return "".join(pieces)


def duration(seconds: float) -> str:
    """Return for example `0.4 s`, `12 s`, `3 min 4 s`, `2 h 5 min`, `3 d 4 h`."""
    if not math.isfinite(seconds):
        return "?"
    if seconds < 0.95:
        return f"{max(seconds, 0):.1f} s"
    whole = int(seconds + 0.5)
    for size, name, part_size, part_name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            part = whole % size // part_size
            return f"{whole // size} {name}" + (f" {part} {part_name}" if part else "")
    return f"{whole} s"


def rough_duration(seconds: float) -> str:
    """Return an estimate without figures that it can't vouch for: `40 s`, `9 min`, `2 h 5 min`."""
    if not math.isfinite(seconds):
        return "?"
    if seconds < 60:
        return f"{max(5, 5 * math.ceil(seconds / 5))} s" if seconds <= 55 else "1 min"
    return duration(60 * math.ceil(seconds / 60))


def number_text(value: object) -> str:
    """Return a number with four significant digits; anything else as it is."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _EXACT_BELOW:
        return str(value)
    try:
        return f"{value:.4g}" if isinstance(value, (int, float)) and not isinstance(value, bool) else inert(value)
    except OverflowError:
        return "a huge number"


def value_text(value: object) -> str:
    """Return what a task returned; empty for None."""
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else number_text(value)


def times(row: RunningRow | EndedRow) -> str:
    """Return how long it took, in which attempt if not the first: `after 3 s (attempt 2)`."""
    attempt = row.attempts if isinstance(row, EndedRow) else row.attempt
    return f"after {duration(row.seconds)}" + (f" (attempt {attempt})" if attempt > 1 else "")


def stamped(text: str) -> str:
    """Return the text with the time of day before it."""
    return f"[{time.strftime('%Y-%m-%d %H:%M:%S')}] {printable(text)}"


def started_line(row: RunningRow) -> str:
    """Return `#3 started: lr=0.1 (gpu 0, 2 threads)`."""
    attempt = f" (attempt {row.attempt})" if row.attempt > 1 else ""
    overrides = f": {inert(row.overrides)}" if row.overrides else ""
    return f"#{row.number} started{attempt}{overrides}" + (f" ({inert(row.slot)})" if row.slot else "")


def ended_line(row: EndedRow) -> str:
    """Return `#3 completed in 12 s: 0.912`, or `#3 FAILED after 3 s: ValueError: boom; log: /path/job.log`."""
    if row.outcome is Outcome.COMPLETED:
        value = value_text(row.return_value)
        attempt = f" (attempt {row.attempts})" if row.attempts > 1 else ""
        return f"#{row.number} completed in {duration(row.seconds)}{attempt}" + (f": {value}" if value else "")
    name = row.outcome.value if row.outcome is Outcome.INTERRUPTED else row.outcome.value.upper()
    return f"#{row.number} {name} {times(row)}{_evidence(row)}"


def retry_line(row: EndedRow, next_attempt: int, attempts: int) -> str:
    """Return `#3 will be tried again (attempt 2 of 3); it failed after 3 s: ValueError: boom; log: /path/job.log`."""
    again = f"#{row.number} will be tried again (attempt {next_attempt} of {attempts})"
    return f"{again}; it {_ended_words(row.outcome)} after {duration(row.seconds)}{_evidence(row)}"


def skipped_line(row: EndedRow) -> str:
    """Return `#4 was completed before: 0.9, not run again`."""
    value = value_text(row.return_value)
    return f"#{row.number} was completed before{f': {value}' if value else ''}, not run again"


def more_skipped_line(count: int) -> str:
    """Return `… and 480 more jobs were completed before, not run again`."""
    return f"… and {count} more job{'s were' if count != 1 else ' was'} completed before, not run again"


def count_line(snapshot: Snapshot) -> str:
    """Return `12 of 40 done, 2 running, 1 failed, 25 waiting; 5 min 3 s so far, about 9 min left`."""
    counts = [f"{snapshot.completed} of {snapshot.total} done", f"{len(snapshot.running)} running"]
    counts += [f"{snapshot.failed} failed"] if snapshot.failed else []
    counts += [f"{snapshot.interrupted} interrupted"] if snapshot.interrupted else []
    counts += [f"{snapshot.waiting} waiting"]
    notice = f"; {inert(snapshot.notice)}" if snapshot.notice else ""
    return f"{', '.join(counts)}; {elapsed_text(snapshot)}{notice}"


def elapsed_text(snapshot: Snapshot) -> str:
    """Return `5 min 3 s so far, about 9 min left`."""
    left = snapshot.remaining_s
    return f"{duration(snapshot.elapsed_s)} so far" + (
        f", about {rough_duration(left)} left" if left is not None else ""
    )


def _ended_words(outcome: Outcome) -> str:
    passive = outcome in (Outcome.KILLED, Outcome.INTERRUPTED)
    return f"{'was ' if passive else ''}{outcome.value}"


def _evidence(row: EndedRow) -> str:
    reason = f": {inert(row.reason)}" if row.reason else ""
    return reason + (f"; log: {inert(row.log)}" if row.log else "")
