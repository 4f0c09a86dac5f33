"""What a launcher makes of a job that misbehaves: one among six, two at a time."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator

from harness import table
from process_tree import Watch
from sweep_peers import BASIC, JOBLIB_12, JOBLIB_14, OURS, SUBMITIT, Peer
from sweep_runs import TRIVIAL, Bench, Sweep, cut, say

JOBS = 6
FAULTY = "1"
# Without any job ending. submitit looks for a dead job's result for some 20 s before it gives up: that is not hung.
HUNG_S = 90
# A task that hangs by itself needs no such patience.
HANG, HANG_S = "a hang", 20
# Until the first job has ended; six processes that import torch at once, as submitit starts them, take long.
START_S = 120
LEFT_S = 5
LAUNCHER = "kill -9 of the launcher"
FAULTS = {
    "an exception": "exception",
    "os._exit(3)": "exit",
    "a segfault": "segfault",
    "kill -9 of the job": "kill",
    "SystemExit(0) in the task": "SystemExit",
    HANG: "hang",
    "a result that can't be pickled": "unpicklable",
    "a flood of output": "flood",
    LAUNCHER: "null",
}
PEERS = (BASIC, JOBLIB_12, JOBLIB_14, SUBMITIT, OURS)
# A launcher that is killed leaves jobs behind that would run on for long.
LONG_S = 30


def bench_faults(bench: Bench) -> Iterator[str]:
    """Each fault with each launcher."""
    heads = ("fault of one job in six", "launcher", "others completed", "ended", "left running", "said last")
    peers = [peer for peer in PEERS if bench.has(peer)]
    problems = {peer: bench.problem(peer) for peer in peers}
    lines = []
    wanted = bench.options.faults
    for fault in (name for name in FAULTS if not wanted or any(text in name for text in wanted)):
        for peer in peers:
            if problem := problems[peer]:
                lines.append((fault, peer.name, "-", "not available", "-", cut(problem)))
                continue
            say(f"{fault}: {peer.name}")
            outcome = _outcome(_sweep(bench, peer, fault), fault)
            say(f"    {', '.join(outcome)}")
            lines.append((fault, peer.name, *outcome))
    yield table(heads, lines)


def _without_module(said: str) -> str:
    """Return `package.module.SomeError: why` as `SomeError: why`."""
    return re.sub(r"^(?:\w+\.)+(?=\w+:)", "", " ".join(said.split()))


def _sweep(bench: Bench, peer: Peer, fault: str) -> Sweep:
    is_launcher = fault == LAUNCHER
    settings = [f"fault={FAULTS[fault]}", f"sleep={LONG_S if is_launcher else 0.3}"]
    if peer.is_ours and fault == HANG:
        settings.append("hydra.launcher.timeout_min=0.05")
    watching = Watch(
        limit_s=HANG_S if fault == HANG else HUNG_S,
        start_s=START_S,
        progress=bench.finished,
        kill=(lambda: bench.finished("0") > 0) if is_launcher else lambda: False,
        linger_s=LEFT_S,
    )
    return bench.sweep(peer, JOBS, TRIVIAL, *settings, watching=watching)


def _outcome(sweep: Sweep, fault: str) -> tuple[str, str, str, str]:
    completed = len(set(sweep.jobs) - {FAULTY})
    status = sweep.run.status
    if status is None:
        ended = f"hung (killed after {HANG_S if fault == HANG else HUNG_S} s)"
    elif status < 0:
        ended = "killed" if fault == LAUNCHER else f"by {signal.Signals(-status).name}"
    else:
        ended = f"exit status {status}"
    left = sweep.run.left
    names = f": {', '.join(sorted(set(left)))}" if left else ""
    return f"{completed} of {JOBS - 1}", ended, f"{len(left)}{names}", cut(_without_module(sweep.said))
