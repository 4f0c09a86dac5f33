"""Every file name in a sweep's folder, how they are written, and reading them back.

<sweep>/.sweep/sweep.json    which sweep this is, and the command that launched it
<sweep>/.sweep/jobs.jsonl    which folder each job has: index.py
<sweep>/.sweep/code          the states of the app's code that jobs ran with: code.py
<sweep>/.sweep/lock          held by its launcher, and by the jobs that outlive one
<sweep>/.sweep/mlflow.json   the sweep's runs in MLflow, beside their lock: record/group_mlflow.py writes them
<sweep>/<job>/job.json       a job's state: attempts, outcome, return value
…/.job.private.json          what of such a file only its owner may read: private.py
<sweep>/<job>/job.log        what the job and its children have printed
<sweep>/<job>/progress.json  how far it is
"""

from __future__ import annotations

import errno
import fcntl
import itertools
import logging
import os
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from lit_hydra_bridge.errors import SweepFolderError
from lit_hydra_bridge.files import DamagedFileError, may_pass, read_json, write_json
from lit_hydra_bridge.progress import BEFORE
from lit_hydra_bridge.record.redaction import process_redactor
from lit_hydra_bridge.sweep.index import IndexedJob, add_to_index, read_index
from lit_hydra_bridge.sweep.job import FORMAT, JobState, of_known_format
from lit_hydra_bridge.sweep.private import keep_private, parted, whole
from lit_hydra_bridge.sweep.sameness import job_key
from lit_hydra_bridge.typed_data import Seconds, read_as

log = logging.getLogger(__name__)

# A dead launcher's jobs are killed within seconds; until then they hold the lock.
_WAIT_FOR_DYING_JOBS_S: Final = 15.0
_NO_LOCKS_HERE: Final = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


def write_shown(path: Path, data: dict[str, Any]) -> None:
    """Write what everybody may read, without secrets; `whole` puts them back for who may read them."""
    shown, hidden = parted(data)
    keep_private(path, hidden)
    write_json(path, shown)


@dataclass(frozen=True)
class JobFolder:
    """The folder of one job: the run's output folder."""

    path: Path

    @property
    def state_file(self) -> Path:
        return self.path / "job.json"

    @property
    def log(self) -> Path:
        return self.path / "job.log"

    @property
    def progress(self) -> Path:
        return self.path / "progress.json"

    def keep_progress(self) -> None:
        """An attempt begins that goes on from an earlier one's checkpoint."""
        with suppress(FileNotFoundError):  # the earlier one had not come to its training
            self.progress.replace(self.path / BEFORE)

    def forget_progress(self) -> None:
        """An attempt begins anew."""
        for path in (self.progress, self.path / BEFORE):
            path.unlink(missing_ok=True)

    def read(self, *, shown: bool = False) -> JobState | None:
        """Return the job's state; None where there is none.

        Args:
            shown: as everybody may read it, without secrets.

        Raises:
            SweepFolderError: there is one, and it can't be read.
        """
        try:
            read = JobState.from_dict if shown else lambda data: JobState.from_dict(whole(self.state_file, data))
            return read_json(self.state_file, read)
        except DamagedFileError as error:
            raise SweepFolderError(str(error)) from None

    def write(self, state: JobState) -> None:
        """Write the job's state; the job may have removed its folder.

        Raises:
            OSError: it can't be written.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        write_shown(self.state_file, state.to_dict())


@dataclass(frozen=True, kw_only=True)
class SweepIdentity:
    """What sweep.json says: which sweep a folder is of, and how it was launched."""

    id: str
    created: Seconds
    """Seconds since the epoch."""
    program: str
    """The script, or `-m` and the module, that was run."""
    task: str
    """The name of the task function: a program may have several."""
    config_name: str | None
    overrides: tuple[str, ...]
    """Of the multirun, as they were given; without Hydra's own."""
    command: tuple[str, ...]
    """The whole command; empty where the sweep was not launched by one."""
    cwd: str
    settings: dict[str, Any] = field(default_factory=dict)
    folder: str = ""
    """The sweep's, where the command leaves it to each job's config, and so can't go on with it in another place."""

    def same_sweep(self, other: SweepIdentity) -> str | None:
        """Return what makes the other one another sweep; None where it is the same."""
        names = {"program": "program", "task": "task", "config_name": "config name", "overrides": "overrides"}
        for name, what in names.items():
            mine, its = getattr(self, name), getattr(other, name)
            if mine != its and (name != "overrides" or job_key(mine) != job_key(its)):
                return f"it has the {what} {_shown(mine)}, and this one {_shown(its)}"
        return None


def _shown(value: Any) -> str:
    text = " ".join(map(process_redactor().override, value)) if isinstance(value, tuple) else str(value)
    return repr(text if len(text) <= 200 else text[:200] + "…")


@dataclass
class SweepFolder:
    """The folder of a sweep."""

    path: Path
    _lock: int | None = None
    _identity: SweepIdentity | None = None
    """Of the launcher at work."""
    _index: dict[str, IndexedJob] = field(default_factory=dict)

    @property
    def own(self) -> Path:
        """What is ours alone."""
        return self.path / ".sweep"

    @property
    def identity_file(self) -> Path:
        return self.own / "sweep.json"

    @property
    def lock_file(self) -> Path:
        return self.own / "lock"

    @property
    def slurm(self) -> Path:
        """What was submitted to Slurm; see slurm/folder.py."""
        return self.own / "slurm"

    def frozen_config(self, number: int) -> Path:
        """A running job's config, for the ranks that it starts."""
        return self.own / f"config-{number}.pickle"

    def read_identity(self, *, shown: bool = False) -> SweepIdentity | None:
        """Return which sweep this is; None where no launcher of ours has been here.

        Args:
            shown: as everybody may read it, without secrets.

        Raises:
            SweepFolderError: it can't be read.
        """

        def checked(data: Any) -> SweepIdentity:
            data = data if shown else whole(self.identity_file, data)
            return read_as(SweepIdentity, of_known_format(data), "the sweep")

        try:
            return read_json(self.identity_file, checked)
        except DamagedFileError as error:
            raise SweepFolderError(f"{error}; take another hydra.sweep.dir, or move this folder away") from None

    def write_identity(self, identity: SweepIdentity) -> None:
        """Write which sweep this is.

        Raises:
            SweepFolderError: it can't be written.
        """
        try:
            write_shown(self.identity_file, {"format": FORMAT, **asdict(identity)})
        except OSError as error:
            raise _unwritable(self.path, error) from None
        self._identity = identity

    def index(self) -> dict[str, IndexedJob]:
        """Return what the sweep's index says, by folder."""
        self._index = read_index(str(self.path))
        return self._index

    def note(self, jobs: Iterable[IndexedJob]) -> None:
        """Add jobs to the sweep's index."""
        new = {job.folder: job for job in jobs}
        try:
            if new:
                self.restore()
                add_to_index(self.path, new.values())
        except OSError as error:  # jobs below the sweep's folder are found without it
            log.warning(f"{self.own}: it can't be written to ({error.strerror or error})")
        self._index |= new

    def restore(self) -> None:
        """Write anew what is ours, if somebody has removed it while the launcher is at work.

        Raises:
            OSError, SweepFolderError: it can't be written, or another launcher has taken the folder.
        """
        if self._identity is None or self.identity_file.exists():
            return
        log.warning(f"{self.own} was removed while the sweep is running, and is written anew")
        self.prepare()
        if not self.lock_file.exists():
            self.unlock()
            self.lock()
        self.write_identity(self._identity)
        add_to_index(self.path, self._index.values())

    def prepare(self) -> None:
        """Make the folder.

        Raises:
            SweepFolderError: it can't be written to.
        """
        try:
            self.own.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(self.path, error) from None

    def remove_frozen_configs(self) -> None:
        """What the jobs of a launcher that was killed have left."""
        for path in self.own.glob("config-*.pickle"):
            with suppress(OSError):
                path.unlink()

    def lock(self, wait_s: float = _WAIT_FOR_DYING_JOBS_S) -> None:
        """Take the folder for this launcher; a dead launcher's jobs are waited for.

        Args:
            wait_s: how long, at most.

        Raises:
            SweepFolderError: another launcher is at work in it.
        """
        try:
            handle = os.open(self.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise SweepFolderError(f"{self.lock_file}: it can't be opened ({error.strerror or error})") from None
        deadline = time.monotonic() + wait_s
        while not _try_lock(handle):
            holder = os.pread(handle, 200, 0).decode("utf-8", "replace")
            if _is_alive(holder) or time.monotonic() > deadline:
                os.close(handle)
                raise SweepFolderError(
                    f"hydra.sweep.dir={self.path}: another launcher ({holder.strip() or 'unknown'}) is running this "
                    "sweep; wait for it, or end it first"
                )
            time.sleep(0.1)
        with suppress(OSError):
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        self._lock = handle

    def unlock(self) -> None:
        """Let the next launcher in."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def is_in_use(self) -> bool:
        """Tell whether a launcher, or a job that outlives one, holds the folder."""
        try:
            handle = os.open(self.lock_file, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno not in _NO_LOCKS_HERE or _is_alive(os.pread(handle, 200, 0).decode("utf-8", "replace"))
        else:
            return False
        finally:
            os.close(handle)

    @property
    def lock_handle(self) -> int | None:
        """The file descriptor that holds the lock, for whoever must hold it longer."""
        return self._lock

    def leave(self) -> None:
        """In a forked child: the lock is its parent's."""
        self.unlock()

    def job_folders(self) -> Iterator[JobFolder]:
        """Every job's folder, here or where the index says; without those that were kept aside, and other sweeps."""
        elsewhere = dict(self.index())
        for place, folders, files in os.walk(self.path):
            there = set(folders)
            if ".sweep" in there and place != str(self.path):
                folders[:] = []
                continue
            folders[:] = sorted(name for name in there if not name.startswith(".") and not is_aside(name, there))
            if "job.json" in files:
                yield JobFolder(Path(place))
                elsewhere.pop(place, None)
        yield from (JobFolder(Path(folder)) for folder in elsewhere)


def _unwritable(folder: Path, error: OSError) -> SweepFolderError:
    if may_pass(error):
        return SweepFolderError(
            f"hydra.sweep.dir={folder}: it can't be written to now ({error.strerror}); make room, and launch again"
        )
    return SweepFolderError(
        f"hydra.sweep.dir={folder}: it can't be written to ({error.strerror or error}); choose another one"
    )


def aside(folder: Path) -> Path:
    """Return the name under which a folder is kept when another takes its place: `0~1`, `0~2` and so on."""
    return next(
        path for count in itertools.count(1) if not (path := folder.with_name(f"{folder.name}~{count}")).exists()
    )


def is_aside(name: str, beside: set[str]) -> bool:
    """Tell whether a folder was kept aside, from its name and those of the folders beside it."""
    base, mark, count = name.rpartition("~")
    return bool(mark) and count.isdigit() and base in beside


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _NO_LOCKS_HERE:  # some network file systems; then what the file says must do
            return not _is_alive(os.pread(handle, 200, 0).decode("utf-8", "replace"))
        return False
    return True


def _is_alive(holder: str) -> bool:
    """Tell whether `process 12 on host` still runs; one of another host is believed to."""
    words = holder.split()
    if len(words) != 4 or not words[1].isdigit():
        return False
    if words[3] != socket.gethostname():
        return True
    return int(words[1]) != os.getpid() and _runs(int(words[1]))


def _runs(pid: int) -> bool:
    """Tell whether a process runs; one that has ended, and that its parent has not waited for, does not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[:1] != [b"Z"]
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's process, or no /proc
        return True
