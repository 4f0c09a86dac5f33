"""Runs the tests marked `matrix` under each supported combination of Hydra and Lightning.

Each combination has a virtual environment of its own below .venvs/, kept between runs: pip brings it
up to date each time, so that "newest" stays true. Logs lie beside the environments.

    python tools/matrix.py [ROW ...]
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
import venv
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENVS = ROOT / ".venvs"

# What a row's own choice must be free to move: the library and those of its dependencies that it bounds.
HYDRA = ("hydra-core", "omegaconf", "antlr4-python3-runtime")
LIGHTNING = (
    "lightning", "pytorch-lightning", "lightning-utilities", "torchmetrics", "fsspec", "packaging",
)  # fmt: skip
SHOWN = ("hydra-core", "omegaconf", "lightning", "pytorch-lightning", "torch")
# Less than the extra `dev` holds: its launchers and linters would say nothing about the combination.
TEST_TOOLS = ("pytest", "pytest-timeout", "pytest-xdist", "hypothesis", "jsonschema")
TEST_TIMEOUT_S = 1800


@dataclass(frozen=True)
class Row:
    """One combination; what it does not name is installed as constraints.txt pins it."""

    name: str
    requirements: tuple[str, ...]
    unpinned: tuple[str, ...]
    absent: tuple[str, ...] = ()


ROWS = (
    Row("hydra-1.3.2", ("hydra-core==1.3.2",), HYDRA),
    Row("hydra-1.3", ("hydra-core<1.4",), HYDRA),
    # The bound itself names a pre-release: so pip takes one here, and for no other package.
    Row("hydra-1.4-pre", ("hydra-core>=1.4.0rc0,<1.5",), HYDRA),
    # Older ones import pkg_resources, which setuptools dropped in version 82.
    Row("lightning-oldest", ("lightning==2.4.0", "pytorch-lightning==2.4.0"), LIGHTNING),
    # pip installs both names with `lightning`; this row proves that one is enough.
    Row("lightning-newest", ("lightning",), LIGHTNING, absent=("pytorch-lightning",)),
    Row("both-names-newest", ("lightning", "pytorch-lightning"), LIGHTNING),
)


@dataclass
class Result:
    """What became of one row."""

    row: Row
    verdict: str = "install failed"
    versions: dict[str, str] = field(default_factory=dict)
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0

    def cells(self) -> list[str]:
        """The row as it is printed."""
        counts = [str(number) for number in (self.passed, self.failed, self.skipped)]
        versions = [self.versions.get(package, "-") for package in SHOWN]
        return [self.row.name, *versions, *counts, f"{self.seconds:.0f}", self.verdict]


def canonical(package: str) -> str:
    """The name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", package).lower()


def write_constraints(row: Row) -> Path:
    """constraints.txt without what the row chooses for itself."""
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    kept = [pin for pin in pins if canonical(pin.partition("==")[0]) not in row.unpinned]
    path = VENVS / f"{row.name}.constraints.txt"
    path.write_text("\n".join(kept) + "\n", encoding="utf-8")
    return path


def install(row: Row, python: str, log: Path) -> bool:
    """Brings the row's environment up to date."""
    if not Path(python).exists():
        venv.create(VENVS / row.name, with_pip=True)
    pip = [python, "-m", "pip", "-q"]
    chosen = ["--upgrade", "-c", str(write_constraints(row)), *row.requirements, *TEST_TOOLS]
    done = run([*pip, "install", *chosen, "-e", ".[loggers,example]"], log)
    return done and (not row.absent or run([*pip, "uninstall", "-y", *row.absent], log))


def run(command: Sequence[str], log: Path) -> bool:
    """Runs a command in the repository's root, its output going to the end of the log."""
    with log.open("a", encoding="utf-8") as output:
        output.write(f"$ {' '.join(command)}\n")
        output.flush()
        try:
            finished = subprocess.run(
                command,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=TEST_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            output.write(f"stopped after {TEST_TIMEOUT_S} seconds\n")
            return False
    return finished.returncode == 0


def installed_versions(python: str) -> dict[str, str]:
    """The versions that are really there, which a requirement alone does not tell."""
    freeze = [python, "-m", "pip", "freeze"]
    lines = subprocess.run(freeze, capture_output=True, text=True, check=True).stdout.splitlines()
    return {canonical(name): version for name, _, version in (line.partition("==") for line in lines)}


def read_counts(report: Path, result: Result) -> None:
    """Takes the counts over from pytest's XML report."""
    for suite in ET.parse(report).getroot().iter("testsuite"):
        result.failed += int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        result.skipped += int(suite.get("skipped", 0))
        result.passed += int(suite.get("tests", 0))
    result.passed -= result.failed + result.skipped


def run_row(row: Row) -> Result:
    """Installs and tests one combination."""
    result = Result(row)
    log, report = VENVS / f"{row.name}.log", VENVS / f"{row.name}.xml"
    log.write_text("", encoding="utf-8")
    report.unlink(missing_ok=True)
    python = str(VENVS / row.name / "bin" / "python")

    if not install(row, python, log):
        return result
    result.versions = installed_versions(python)

    start = time.monotonic()
    pytest = [python, "-m", "pytest", "-m", "matrix", "-n", "2", "--dist", "loadfile"]
    succeeded = run([*pytest, f"--junitxml={report}"], log)
    result.seconds = time.monotonic() - start
    # No report: pytest was stopped or did not start, and the log says why.
    if report.exists():
        read_counts(report, result)
    # A row in which everything was skipped proves nothing, so it does not count as a success.
    result.verdict = "ok" if succeeded and result.passed else "FAILED"
    return result


def print_table(results: Sequence[Result]) -> None:
    """One line for each combination."""
    heads = ["combination", *SHOWN, "passed", "failed", "skipped", "seconds", "verdict"]
    table = [heads, *(result.cells() for result in results)]
    widths = [max(len(cells[column]) for cells in table) for column in range(len(heads))]
    for cells in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())


def main(names: Sequence[str]) -> int:
    """Runs the named rows, or all of them."""
    rows = [row for row in ROWS if not names or row.name in names]
    if unknown := set(names) - {row.name for row in rows}:
        print(f"no such row: {', '.join(sorted(unknown))}; there are {', '.join(row.name for row in ROWS)}")
        return 2

    VENVS.mkdir(exist_ok=True)
    results = []
    for row in rows:
        log = (VENVS / f"{row.name}.log").relative_to(ROOT)
        print(f"{row.name}: installing and testing, log in {log}", flush=True)
        results.append(run_row(row))
        if results[-1].verdict != "ok":
            tail = (ROOT / log).read_text(encoding="utf-8", errors="replace").splitlines()[-40:]
            print("\n".join(tail), f"\n{row.name}: {results[-1].verdict}", flush=True)

    print()
    print_table(results)
    return int(any(result.verdict != "ok" for result in results))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
