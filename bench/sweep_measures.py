"""The measurements of `bench/sweep.py`: tables as text, and goals as rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from harness import Row, table
from process_tree import Watch
from sweep_peers import (
    BARE_FORK,
    BASIC,
    JOBLIB_12,
    JOBLIB_12_ONE,
    JOBLIB_14,
    JOBLIB_14_ONE,
    OURS,
    OURS_BY_METHOD,
    SUBMITIT,
    SUBMITIT_ONE,
    Peer,
)
from sweep_runs import TRIVIAL, Bench, Sweep, SweepFailedError, cut, median, say, spread

MEMORY_JOBS = 8
# A spawned job imports everything anew, which takes seconds.
OVERHEAD_JOBS = {"fork": 20, "forkserver": 20, "spawn": 5}
FORK = OURS_BY_METHOD["fork"]
Cell = tuple[Peer, int]


@dataclass
class Figures:
    """What the whole sweeps gave, by launcher and number of jobs."""

    sweeps: dict[Cell, list[Sweep]] = field(default_factory=dict)
    peaks: dict[Peer, float] = field(default_factory=dict)
    problems: dict[Cell, str] = field(default_factory=dict)

    def walls(self, peer: Peer, jobs: int) -> list[float]:
        """Return the seconds of whole sweeps."""
        return [sweep.run.wall for sweep in self.sweeps.get((peer, jobs), [])]

    def best(self, jobs: int, *peers: Peer) -> Peer:
        """Return the fastest."""
        return min(peers, key=lambda peer: median(self.walls(peer, jobs) or [float("inf")]))


def bench_sweep(bench: Bench) -> Iterator[str | Row]:
    """Whole sweeps."""
    cells = _cells(bench)
    figures = Figures()
    for cell in cells:
        if problem := bench.problem(cell[0]):
            figures.problems[cell] = problem
    for round_ in range(bench.options.repeats):
        # Every other round backwards, so that a machine that drifts favours none.
        for cell in cells if round_ % 2 == 0 else reversed(cells):
            _measure(bench, figures, cell, round_)
    for peer in bench.options.peers:
        _measure_memory(bench, figures, peer)
    yield _sweep_table(bench, figures)
    yield from _sweep_goals(bench, figures)


def _cells(bench: Bench) -> list[Cell]:
    """All launchers with their number of jobs, and what else the ratios need."""
    options = bench.options
    cells = [(peer, options.jobs_of(peer)) for peer in options.peers]
    for _, jobs in list(cells):
        cells += [(peer, jobs) for peer in (OURS,) if bench.has(peer)]
    cells += [(peer, 2 * options.jobs) for peer in (BASIC, OURS) if bench.has(peer)]
    return list(dict.fromkeys(cells))


def _measure(bench: Bench, figures: Figures, cell: Cell, round_: int) -> None:
    peer, jobs = cell
    if cell in figures.problems:
        return
    say(f"round {round_ + 1}: {peer.name}, {jobs} jobs")
    try:
        figures.sweeps.setdefault(cell, []).append(bench.measured(peer, jobs))
    except SweepFailedError as error:
        figures.problems[cell] = str(error)


def _measure_memory(bench: Bench, figures: Figures, peer: Peer) -> None:
    if bench.problem(peer):
        return
    jobs = min(MEMORY_JOBS, bench.options.jobs_of(peer))
    say(f"memory: {peer.name}, {jobs} jobs")
    try:
        figures.peaks[peer] = bench.measured(peer, jobs, watching=Watch(memory=True)).run.peak_mib
    except SweepFailedError as error:
        figures.problems.setdefault((peer, bench.options.jobs_of(peer)), str(error))


def _sweep_table(bench: Bench, figures: Figures) -> str:
    heads = (
        "launcher", "jobs", "sweep, s", "s per job", "first job runs after, s", "after launch, s",
        "CPU of all, s", "peak memory, MiB",
    )  # fmt: skip
    lines = []
    for peer, jobs in _cells(bench):
        if problem := figures.problems.get((peer, jobs)):
            lines.append((peer.name, str(jobs), f"not available: {cut(problem)}", *["-"] * 5))
            continue
        sweeps = figures.sweeps[peer, jobs]
        walls = [sweep.run.wall for sweep in sweeps]
        is_main = jobs == bench.options.jobs_of(peer)
        peak = f"{figures.peaks[peer]:.0f}" if is_main and peer in figures.peaks else "-"
        first = spread([sweep.first_s for sweep in sweeps])
        launched = spread([sweep.first_after_launch_s for sweep in sweeps], 2)
        cpu = spread([sweep.run.cpu for sweep in sweeps])
        per_job = f"{median(walls) / jobs:.2f}"
        lines.append((peer.name, str(jobs), spread(walls), per_job, first, launched, cpu, peak))
    return table(heads, lines)


def _sweep_goals(bench: Bench, figures: Figures) -> Iterator[Row]:
    jobs, has = bench.options.jobs, bench.has
    rivals = (
        (1.6, "basic", (BASIC,)),
        (1.15, "joblib 1.2", (JOBLIB_12, JOBLIB_12_ONE)),
        (1.0, "joblib 1.4 multiprocessing", (JOBLIB_14, JOBLIB_14_ONE)),
        (4.0, "submitit local", (SUBMITIT, SUBMITIT_ONE)),
    )
    for least, name, peers in rivals:
        chosen = [peer for peer in peers if has(peer)]
        if chosen and has(OURS):
            yield _ratio_row(figures, name, chosen, bench.options.jobs_of(chosen[0]), least)
    if has(OURS, BASIC):
        yield _further_row(figures, jobs)
    if has(FORK):
        firsts = [sweep.first_after_launch_s for sweep in figures.sweeps.get((FORK, jobs), [])]
        value = f"{spread(firsts, 2)} s" if firsts else "not available"
        yield Row("first job runs after launch, forked", value, "<= 0.5 s", bool(firsts) and median(firsts) <= 0.5)
    if has(OURS, BARE_FORK):
        yield _memory_row(figures)


def _ratio_row(figures: Figures, name: str, peers: list[Peer], jobs: int, least: float) -> Row:
    what = f"whole sweep of {jobs} jobs, {name} / lit_local"
    rival = figures.best(jobs, *peers)
    pairs = list(zip(figures.walls(rival, jobs), figures.walls(OURS, jobs), strict=False))
    if not pairs:
        return Row(what, "not available", f">= {least}", False)
    ratio = median([theirs / ours for theirs, ours in pairs])
    best = f"its best: {rival.name}; " if len(peers) > 1 else ""
    seconds = f"{best}{median([pair[0] for pair in pairs]):.1f} s / {median([pair[1] for pair in pairs]):.1f} s"
    return Row(what, f"{ratio:.2f}  ({seconds})", f">= {least}", ratio >= least)


def _further_row(figures: Figures, jobs: int) -> Row:
    what, goal = "per further job, basic / lit_local", ">= 1.8"

    def further(peer: Peer) -> list[float]:
        pairs = zip(figures.walls(peer, jobs), figures.walls(peer, 2 * jobs), strict=False)
        return [(twice - once) / jobs for once, twice in pairs]

    theirs, ours = further(BASIC), further(OURS)
    if not theirs or not ours:
        return Row(what, "not available", goal, False)
    ratio = median([a / b for a, b in zip(theirs, ours, strict=False)])
    return Row(what, f"{ratio:.2f}  ({median(theirs):.3f} s / {median(ours):.3f} s)", goal, ratio >= 1.8)


def _memory_row(figures: Figures) -> Row:
    what, goal = "peak memory of two jobs, lit_local / bare fork", "<= 1.1"
    ours, bare = figures.peaks.get(OURS), figures.peaks.get(BARE_FORK)
    if not ours or not bare:
        return Row(what, "not available", goal, False)
    return Row(what, f"{ours / bare:.2f}  ({ours:.0f} MiB / {bare:.0f} MiB)", goal, ours / bare <= 1.1)


def bench_overhead(bench: Bench) -> Iterator[Row]:
    """A job's process from its creation to its end, less its task; one job at a time."""
    taken: dict[str, list[float]] = {}
    problems: dict[str, str] = {}
    for round_ in range(bench.options.repeats):
        for method, peer in OURS_BY_METHOD.items():
            if not bench.has(peer) or method in problems:
                continue
            say(f"overhead, round {round_ + 1}: {method}")
            try:
                sweep = bench.measured(peer, OVERHEAD_JOBS[method], TRIVIAL, "hydra.launcher.n_jobs=1")
                taken.setdefault(method, []).extend(_overheads(sweep))
            except SweepFailedError as error:
                problems[method] = str(error)
    for method, most in (("fork", 60), ("forkserver", 120), ("spawn", None)):
        if not bench.has(OURS_BY_METHOD[method]):
            continue
        goal = f"< {most} ms" if most else ""
        what = f"a job's process besides its task, {method}"
        samples = taken.get(method)
        if not samples:
            yield Row(what, f"not available: {cut(problems.get(method, ''))}", goal, not goal)
            continue
        yield Row(what, f"{spread(samples, 0)} ms", goal, most is None or median(samples) < most)


def _overheads(sweep: Sweep) -> list[float]:
    found = []
    for number, job in sweep.jobs.items():
        attempt = sweep.states[number]["attempts"][-1]
        found.append(1000 * ((attempt["ended"] - attempt["started"]) - (job["ended"] - job["began"])))
    return found


def bench_cpu(bench: Bench) -> Iterator[Row]:
    """The launcher's process from the launch to its end."""
    if not bench.has(OURS):
        return
    jobs = bench.options.cpu_jobs
    what, goal = f"launcher's CPU per job besides composing, {jobs} jobs", "< 10 ms"
    samples, composing = [], []
    try:
        for round_ in range(bench.options.repeats):
            say(f"cpu, round {round_ + 1}: {jobs} trivial jobs")
            launch = bench.measured(OURS, jobs, TRIVIAL, env={"BENCH_COMPOSING": "1"}).launch
            samples.append(1000 * (launch["used"] - launch["composing"]) / jobs)
            composing.append(1000 * launch["composing"] / jobs)
    except SweepFailedError as error:
        yield Row(what, f"not available: {cut(str(error))}", goal, False)
        return
    value = f"{spread(samples)} ms  (composing: {median(composing):.1f} ms)"
    yield Row(what, value, goal, median(samples) < 10)


def bench_scale(bench: Bench) -> Iterator[str]:
    """Many trivial jobs."""
    heads = ("launcher", "trivial jobs", "ms per job", "launcher's RSS at 10 %, MiB", "at 100 %, MiB")
    lines = []
    for jobs in bench.options.scale_jobs:
        # The others only at the smallest size: what grows is ours to watch.
        rivals = [BASIC, JOBLIB_14] if jobs == min(bench.options.scale_jobs) else []
        for peer in (peer for peer in (*rivals, OURS) if bench.has(peer)):
            say(f"scale: {peer.name}, {jobs} trivial jobs")
            if problem := bench.problem(peer):
                lines.append((peer.name, str(jobs), f"not available: {cut(problem)}", "-", "-"))
                continue
            try:
                sweep = bench.measured(peer, jobs, TRIVIAL, watching=Watch(rss=True))
            except SweepFailedError as error:
                lines.append((peer.name, str(jobs), f"failed: {cut(str(error))}", "-", "-"))
                continue
            lines.append((peer.name, str(jobs), *_scale_figures(sweep)))
    yield table(heads, lines)


def _scale_figures(sweep: Sweep) -> tuple[str, str, str]:
    ends = sorted(job["ended"] for job in sweep.jobs.values())
    taken = sweep.run.begun + sweep.run.wall - sweep.launch["launched"]

    def rss(moment: float) -> str:
        return f"{min(sweep.run.rss_mib, key=lambda sample: abs(sample[0] - moment))[1]:.0f}"

    return f"{1000 * taken / len(ends):.1f}", rss(ends[len(ends) // 10]), rss(ends[-1])
