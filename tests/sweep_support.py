"""What the tests of sweeps share: a plain Hydra app, launched with `hydra/launcher=lit_local` in real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

from lit_hydra_bridge.hydra_text import quoted

START_METHODS = ("fork", "forkserver", "spawn")
_APP = "LIT_SWEEP_TEST_APP"
"""Environment variable, with the app's folder in it: every process of an app inherits it."""

# `note` writes a line to runs.txt, `hold` waits as long as there is a file `hold`; both from any process of the app.
SCRIPT = """
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import hydra

HERE = Path(__file__).resolve().parent


def note(text):
    with open(HERE / "runs.txt", "ab") as file:
        file.write(f"{{text}}\\n".encode())


def hold(name="hold"):
    while (HERE / name).exists():
        time.sleep(0.02)


{prelude}


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg):
{body}


if __name__ == "__main__":
    main()
"""


def clean_environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this process's environment without the switches that a developer's own shell may have set."""
    ours = ("LIT_HYDRA", "PYTEST", "COV_", "HYDRA_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, "OMP_NUM_THREADS": "1", **(more or {})}


def until(condition: Callable[[], Any], what: str, timeout_s: float = 60) -> Any:
    """Wait for a condition to be true, and return what it gave."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not so after {timeout_s:g} s: {what}"
        time.sleep(0.02)
    return found


def job_states(sweep: Path) -> dict[int, dict[str, Any]]:
    """Return what each job.json of a sweep's folder says, by the job's number; without folders that were kept aside."""
    states = {}
    for path in sweep.rglob("job.json"):
        if "~" not in path.parent.name:
            state = json.loads(path.read_text(encoding="utf-8"))
            states[state["number"]] = state | {"folder": path.parent}
    return states


def outcomes(sweep: Path) -> dict[int, str | None]:
    """Return each job's outcome."""
    return {number: state["outcome"] for number, state in sorted(job_states(sweep).items())}


@dataclass
class Launched:
    """A sweep's launcher, which runs."""

    process: subprocess.Popen[bytes]
    output_file: Path

    @property
    def output(self) -> str:
        """What it has printed up to now."""
        return self.output_file.read_text(encoding="utf-8", errors="surrogateescape")

    def signal(self, number: int) -> None:
        """Send the launcher, and nobody else, a signal."""
        os.kill(self.process.pid, number)

    def wait(self, timeout_s: float = 120) -> int:
        """Return its exit status."""
        return self.process.wait(timeout_s)


@dataclass(frozen=True)
class Ended:
    """A sweep that has ended."""

    returncode: int
    output: str
    """Of both streams."""


@dataclass(frozen=True)
class SweepApp:
    """A folder with `conf/config.yaml` and a script; sweeps go to `out` in it."""

    folder: Path

    @classmethod
    def create(cls, folder: Path, config: str = "x: 0\n") -> SweepApp:
        """Make the folder, with a config."""
        app = cls(folder)
        app.write("conf/config.yaml", config)
        return app

    @property
    def out(self) -> Path:
        """The folder of its sweeps."""
        return self.folder / "out"

    def write(self, name: str, text: str) -> Path:
        """Write one of the app's files."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text), encoding="utf-8")
        return path

    def task(self, body: str, prelude: str = "", name: str = "app.py") -> Path:
        """Write a script whose task function is `body`, with cfg, note, hold, HERE and some modules at hand."""
        indented = "\n".join(f"    {line}" for line in dedent(body).strip().split("\n"))
        return self.write(name, SCRIPT.format(body=indented, prelude=dedent(prelude)))

    def command(self, *overrides: str, script: str = "app.py", out: Path | None = None) -> list[str]:
        """Return the command of a sweep with two jobs at a time."""
        launcher = ["hydra/launcher=lit_local", "hydra.launcher.n_jobs=2"]
        return [sys.executable, script, "-m", *launcher, f"hydra.sweep.dir={quoted(str(out or self.out))}", *overrides]

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return that of the app's processes."""
        return clean_environment({_APP: str(self.folder), **(more or {})})

    @contextmanager
    def launch(
        self, *command: str, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> Iterator[Launched]:
        """Start a command in a session of its own; whatever is left of the app is killed at the block's end."""
        output = self.folder / f"output-{time.monotonic_ns()}.txt"
        with output.open("wb") as file:
            process = subprocess.Popen(
                command,
                cwd=cwd or self.folder,
                env=self.environment(env),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # What is started in the background of a script ignores Ctrl-C, and so would all that it starts.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
            )
        try:
            yield Launched(process, output)
        finally:
            process.kill()
            process.wait()
            for pid in self.processes():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def run(
        self,
        *command: str,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        returncode: int | None = 0,
        timeout_s: float = 120,
    ) -> Ended:
        """Run a command to its end, after which no process of the app may be there; None: any exit status will do."""
        with self.launch(*command, env=env, cwd=cwd) as launched:
            status = launched.wait(timeout_s)
            assert returncode in (None, status), f"exit status {status}\n{launched.output}"
            left = self.processes()
            assert not left, f"left behind: {left}\n{launched.output}"
            return Ended(status, launched.output)

    def sweep(self, *overrides: str, script: str = "app.py", out: Path | None = None, **how: Any) -> Ended:
        """Run a sweep to its end; see `run`."""
        return self.run(*self.command(*overrides, script=script, out=out), **how)

    def resume(self, *arguments: str, out: Path | None = None, **how: Any) -> Ended:
        """Run `lit-hydra resume` on the sweep's folder, from somewhere else; see `run`."""
        return self.run(self.tool, "resume", str(out or self.out), *arguments, **{"cwd": Path("/"), **how})

    @property
    def tool(self) -> str:
        """The command line tool that belongs to this interpreter."""
        return str(Path(sys.executable).with_name("lit-hydra"))

    def notes(self) -> Counter[str]:
        """Return how often the app has noted each line."""
        path = self.folder / "runs.txt"
        return Counter(path.read_text(encoding="utf-8").splitlines()) if path.exists() else Counter()

    def processes(self) -> dict[int, str]:
        """Return the app's processes, by what every one of them inherits or was called with; no zombies."""
        mark, found = f"{_APP}={self.folder}\0".encode(), {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            with suppress(OSError):
                command = (entry / "cmdline").read_bytes()
                is_ours = mark in (entry / "environ").read_bytes() or str(self.folder).encode() in command
                if is_ours and (entry / "stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z":
                    found[int(entry.name)] = command.replace(b"\0", b" ").decode("utf-8", "replace")
        return found

    def wait_until_gone(self, timeout_s: float = 10) -> None:
        """Wait until the app has no process."""
        until(lambda: not self.processes(), f"no process of {self.folder} is left", timeout_s)
