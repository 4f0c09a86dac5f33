"""A sweep's folder -> the command that goes on with it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from lit_hydra_bridge.errors import SweepError, SweepFolderError
from lit_hydra_bridge.hydra_text import quoted
from lit_hydra_bridge.sweep.earlier import id_of_jobs
from lit_hydra_bridge.sweep.folder import SweepFolder, SweepIdentity
from lit_hydra_bridge.sweep.job import Outcome

_SWEEP_DIR: Final = "hydra.sweep.dir="


@dataclass(frozen=True, kw_only=True)
class Resumption:
    """What would be run, and what there is."""

    folder: SweepFolder
    identity: SweepIdentity
    command: list[str]
    completed: int
    unfinished: int
    """Jobs that have been started, and are not completed."""


def find_resumption(path: str | os.PathLike[str]) -> Resumption:
    """Return how to go on with the sweep in a folder, or in one above it.

    Raises:
        SweepFolderError: there is no sweep, or its command is not known.
    """
    folder = sweep_above(Path(os.path.abspath(path)))
    identity = folder.read_identity()
    assert identity is not None
    if not identity.command:
        where = f"by a Hydra command line but from within {identity.program}" if identity.program else "by a command"
        raise SweepFolderError(
            f"{folder.path}: the sweep was not launched {where}, so its command is not known; launch it again in the "
            f"same way, with hydra.sweep.dir={folder.path} among the overrides"
        )
    if identity.folder and identity.folder != str(folder.path):
        raise SweepFolderError(
            f"{folder.path}: hydra.sweep.dir depends on each job's config, so the sweep can only go on in "
            f"{identity.folder}; move it back, or launch it again by hand"
        )
    if not os.path.isdir(identity.cwd):
        raise SweepFolderError(f"{folder.path}: the sweep ran in {identity.cwd}, and there is no such folder now")
    outcomes = []
    for job in folder.job_folders():
        try:
            state = job.read()  # None: it has not begun
        except SweepFolderError:  # the launcher tells
            continue
        if state is not None and state.sweep == identity.id:
            outcomes.append(state.outcome)
    completed = outcomes.count(Outcome.COMPLETED)
    return Resumption(
        folder=folder,
        identity=identity,
        command=_command(identity, folder.path),
        completed=completed,
        unfinished=len(outcomes) - completed,
    )


def _command(identity: SweepIdentity, folder: Path) -> list[str]:
    """Return the command, for the folder where it is now, and with what is completed left alone."""
    here = f"{_SWEEP_DIR}{quoted(str(folder))}"
    command = [here if text.startswith(_SWEEP_DIR) and not identity.folder else text for text in identity.command]
    return command if identity.settings.get("resume", True) else [*command, "hydra.launcher.resume=true"]


def sweep_above(path: Path) -> SweepFolder:
    """Return the sweep in a folder, or in one above it.

    Raises:
        SweepFolderError: there is none.
    """
    if not path.exists():
        raise SweepFolderError(f"{path}: there is no such folder")
    for place in (path, *path.parents):
        folder = SweepFolder(place)
        if folder.identity_file.exists():
            return folder
    if id_of_jobs(SweepFolder(path)):
        raise SweepFolderError(
            f"{SweepFolder(path).identity_file} is gone, and with it the sweep's command. The jobs' own files are "
            f"there: launch the sweep again by hand with hydra.sweep.dir={path}, and what is completed is not run again"
        )
    raise SweepFolderError(
        f"{path}: it is not the folder of a sweep that one of our launchers has run: it has no "
        f"{SweepFolder(path).identity_file.relative_to(path)}"
    )


def run(resumption: Resumption, arguments: list[str]) -> NoReturn:
    """Become the sweep's command: signals and the terminal are the launcher's own.

    Raises:
        SweepError: it can't be started.
    """
    try:
        os.chdir(resumption.identity.cwd)
        os.execv(resumption.command[0], [*resumption.command, *arguments])
    except OSError as error:
        raise SweepError(f"{resumption.command[0]} can't be started in {resumption.identity.cwd}: {error}") from None
