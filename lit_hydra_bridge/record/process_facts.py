"""Git's and the interpreter's facts, looked up in a thread while the job goes on.

The thread begins a moment later than the job: Python's threads take turns, and the first training step comes first.
Whoever needs the facts sooner wakes it.
Looked up once per process and folder; what a run may store of them (its own secrets redacted, the diff packed) is
made once per run, in the same thread.
"""

from __future__ import annotations

import sys
import threading
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from lit_hydra_bridge.record.redaction import Redactor
from lit_hydra_bridge.record.run_record import DIFF_GAP, Environment, SourceCode

if TYPE_CHECKING:
    from lit_hydra_bridge.record.source_code import Checkout


_HEAD_START_S: Final = 2.0
# Of the time that a save waits; the rest is for what comes after git, and for saying that git hung.
_GITS_SHARE: Final = 0.8


class _Facts(NamedTuple):
    checkout: Checkout | None
    environment: Environment
    gaps: tuple[str, ...]


class ProcessFacts:
    """One run's look-up.

    Args:
        folder: where the program lies.
        redactor: knows the run's secrets already; it must not learn more from here on.
        diff: whether the git diff is wanted.
        diff_limit_kib: the longest diff to keep, packed, in KiB.
        time_limit_s: for git, and for whoever waits, in seconds.
    """

    def __init__(
        self, folder: Path, redactor: Redactor, *, diff: bool, diff_limit_kib: int, time_limit_s: float
    ) -> None:
        self.source: SourceCode | None = None
        self.environment = Environment(python=sys.version.split()[0], platform=sys.platform, host="")
        self._gaps: list[str] = []
        self._done = False
        self._folder, self._redactor = folder, redactor
        self._diff, self._diff_limit_kib, self._time_limit_s = diff, diff_limit_kib, time_limit_s
        self._wanted = threading.Event()
        self._thread = threading.Thread(target=self._look_up_in_a_moment, name="lit-hydra-bridge-facts", daemon=True)
        self._thread.start()

    @property
    def is_done(self) -> bool:
        """Whether nobody has to wait any more."""
        return self._done

    def wait(self) -> list[str]:
        """Wait until all is known, or the time limit has passed; return what is missing, one sentence each."""
        self._wanted.set()
        self._thread.join(self._time_limit_s)
        if not self._done and not self._thread.is_alive():
            self._look_up()  # a forked process has the thread's object, but not the thread
        if not self._done:
            return [*self._gaps, "git, packages: the look-up did not end in time"]
        return list(self._gaps)

    def _look_up_in_a_moment(self) -> None:
        self._wanted.wait(_HEAD_START_S)
        self._look_up()

    def _look_up(self) -> None:
        from lit_hydra_bridge.record.source_code import finished_source_code

        try:
            facts = _facts_of_process(self._folder, self._diff, _GITS_SHARE * self._time_limit_s)
            self._gaps += facts.gaps
            self.environment = facts.environment
            if facts.checkout is not None:
                self.source = finished_source_code(
                    facts.checkout, self._redactor, diff=self._diff, diff_limit_kib=self._diff_limit_kib
                )
                self._gaps += [f"{DIFF_GAP}{gap}" for gap in self.source.diff_gaps]
        except Exception as error:  # a record with a gap beats a run that failed for it
            self._gaps.append(f"git, packages: {type(error).__name__}: {error}")
        self._done = True


@cache
def _facts_of_process(folder: Path, diff: bool, time_limit_s: float) -> _Facts:
    from lit_hydra_bridge.git import GitError
    from lit_hydra_bridge.record.environment import read_environment
    from lit_hydra_bridge.record.source_code import read_checkout

    gaps = []
    checkout = None
    try:
        checkout = read_checkout(folder, diff=diff, time_limit_s=time_limit_s)
        if checkout is not None and checkout.gap:
            gaps.append(f"git: {checkout.gap}; whether files were changed is not known")
    except GitError as error:
        gaps.append(f"git: {error}")
    return _Facts(checkout, read_environment(), tuple(gaps))
