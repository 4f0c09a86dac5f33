"""The report card's lines on packages, Python and the machine: then, and here."""

from __future__ import annotations

import os
import platform
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lit_hydra_bridge.record.environment import installed_packages
from lit_hydra_bridge.reload.check.line import Line, bad, count, good, note, short, some

if TYPE_CHECKING:
    from lit_hydra_bridge.record.run_record import RunRecord, Training

# Those that decide what a training computes. Only these are named in a command: to install whatever else a
# stranger's record names would be to trust it.
_DECISIVE: Final = ("torch", "lightning", "pytorch-lightning", "hydra-core", "omegaconf", "numpy")
_VERSION: Final = re.compile(r"[0-9][0-9A-Za-z.+_-]*")
_TORCH_INDEX: Final = re.compile(r"\+(cpu|cu[0-9]{2,3}|rocm[0-9.]{1,6}|xpu)$")
# What the drivers of NVIDIA put there; the second is Windows' subsystem for Linux.
_NVIDIA_DEVICES: Final = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg")


def look_at_packages(record: RunRecord) -> list[Line]:
    """Compare the packages of the run with those installed here."""
    # We only watch: our own version changes nothing in a training.
    then = {name: version for name, version in record.environment.packages.items() if name != "lit-hydra-bridge"}
    if not then:
        gaps = [gap for gap in record.gaps if gap.startswith("git, packages:")]
        return [bad("packages", some(gaps) or "not recorded", "save a later checkpoint: the look-up ran out of time")]
    here = installed_packages()
    differing = [name for name in (*_DECISIVE, *then) if name in then and here.get(name) != then[name]]
    differing = list(dict.fromkeys(differing))
    if not differing:
        return [good("packages", f"all {len(then)} as they were")]
    listed = some(f"{name} {short(then[name], 40)} ({_here(here.get(name))})" for name in differing)
    finding = f"{count(len(differing), 'differs', 'differ')} of {len(then)}: {listed}"
    decisive = [name for name in differing if name in _DECISIVE]
    if decisive:
        return [bad("packages", finding, _install(decisive, then))]
    return [note("packages", finding, "all of them: lit-hydra show {path} environment.packages")]


def _here(version: str | None) -> str:
    return "not installed here" if version is None else f"here {version}"


def _install(names: list[str], then: dict[str, str]) -> str:
    if not all(_VERSION.fullmatch(then[name]) for name in names):
        return "see the versions: lit-hydra show {path} environment.packages"
    # torch's builds for one kind of hardware are not on PyPI.
    build = _TORCH_INDEX.search(then["torch"]) if "torch" in names else None
    index = f" --extra-index-url https://download.pytorch.org/whl/{build[1]}" if build else ""
    return f"pip install {' '.join(f'{name}=={then[name]}' for name in names)}{index}"


def look_at_python(record: RunRecord) -> list[Line]:
    """Compare the interpreters: another minor version is another language and other packages."""
    then, here = record.environment.python, platform.python_version()
    if then == here:
        return [good("python", here)]
    finding = f"{short(then)} then, {here} here"
    if then.split(".")[:2] == here.split(".")[:2]:
        return [note("python", finding)]
    return [bad("python", finding, f"make an environment with Python {short(then)}")]


def look_at_machine(record: RunRecord) -> list[Line]:
    """Compare the platforms, and see whether there is such hardware here: both change the last digits of sums."""
    lines = []
    then = record.environment.platform
    here = f"{sys.platform}-{platform.machine()}"
    # The kernel's version follows, and does not matter; a look-up that was cut short has the first word alone.
    if then in (here, sys.platform) or then.startswith(f"{here}-"):
        lines.append(good("platform", here))
    else:
        lines.append(note("platform", f"{short(then)} then, {here} here", "expect other last digits"))
    if record.training is not None and record.training.accelerator is not None:
        lines.append(_hardware(record.training))
    if record.training is not None and record.training.threads is not None:
        lines.append(_threads(record.training.threads))
    return lines


def _threads(then: int) -> Line:
    """Another number gives other last digits; `lit-hydra rerun` sets the recorded one, unless the user has set one."""
    here = os.environ.get("OMP_NUM_THREADS")
    if here is None or here == str(then):
        return good("threads", f"{then}, and lit-hydra rerun gives as many")
    return note("threads", f"{then} then, and OMP_NUM_THREADS={short(here)} here: expect other last digits", "unset it")


def _hardware(training: Training) -> Line:
    accelerator = (training.accelerator or "").rpartition(".")[2].removesuffix("Accelerator")
    strategy = (training.strategy or "").rpartition(".")[2]
    nodes = f" on each of {training.num_nodes} nodes" if training.num_nodes not in (None, 1) else ""
    number = "unknown number of devices" if training.devices is None else count(training.devices, "device")
    finding = f"{short(accelerator)}, {number}{nodes}, {short(strategy) or 'unknown strategy'}"
    if accelerator == "CUDA" and not any(Path(device).exists() for device in _NVIDIA_DEVICES):
        return note("hardware", f"{finding}; no NVIDIA GPU is seen here", "on a CPU the result will differ")
    if accelerator == "MPS" and (sys.platform, platform.machine()) != ("darwin", "arm64"):
        return note("hardware", f"{finding}; this is not an Apple machine", "on a CPU the result will differ")
    if accelerator == "CPU" and training.num_nodes in (None, 1):
        return good("hardware", finding)
    return note("hardware", finding, "use as many devices of the same kind, with the same strategy")
