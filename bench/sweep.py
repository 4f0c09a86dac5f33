"""`hydra/launcher=lit_local` beside the other ways of running a sweep on one machine.

    python bench/sweep.py                     sweep, overhead, cpu, and scale with 1,000 jobs
    python bench/sweep.py overhead cpu        some of them
    python bench/sweep.py scale               1,000 jobs and 10,000 jobs
    python bench/sweep.py faults              what is lost when a job misbehaves, by launcher (half an hour)
    python bench/sweep.py sweep --jobs 6 --repeats 1 --only basic --only lit_local      a first look

what:
    sweep      whole sweeps of a small Lightning training: time, CPU and memory by launcher, in turns; then the
               goals, and what a further job costs (twice the jobs against the jobs)
    overhead   what a job's process takes beside its task, by start method
    cpu        the launcher's own CPU time per job, besides composing configs
    scale      milliseconds per trivial job, and the launcher's memory at 10 % and 100 % of the sweep
    faults     an exception, os._exit, a segfault, kill -9, SystemExit, a hang, a result that can't be pickled,
               a flood of output, kill -9 of the launcher: jobs lost, exit status, processes left, what is said

The bench binds itself to two cores, so that every launcher finds the same machine; sweeps run two jobs at a time
(submitit local knows no such limit: it starts all at once). No thread setting reaches a launcher but the one that its
row names. Launchers that need Hydra 1.4 get it from overlays below .venvs/, installed when first needed. Memory is
PSS, summed over all of a sweep's processes, in a run of its own: looking at it takes time. Times are medians, with
(least..most). Ratios are medians of the ratios within each round.

Progress goes to stderr, tables to stdout. Exit code 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import sweep_measures as measures
from harness import Row, goal_table
from process_tree import adopt_orphans
from sweep_faults import bench_faults
from sweep_peers import AT_A_TIME, PEERS, write_app
from sweep_runs import Bench, Options

BENCHES: dict[str, Callable[[Bench], Iterator[str | Row]]] = {
    "sweep": measures.bench_sweep,
    "overhead": measures.bench_overhead,
    "cpu": measures.bench_cpu,
    "scale": measures.bench_scale,
    "faults": bench_faults,
}
DEFAULT = ("sweep", "overhead", "cpu", "scale")


def read_arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", choices=[[], *BENCHES], help=f"default: {' '.join(DEFAULT)}")
    parser.add_argument(
        "--jobs",
        action="append",
        default=[],
        metavar="N or TEXT=N",
        help="jobs of a sweep, 32 by default; TEXT=N: at most N for launchers whose name contains TEXT (submitit=8 by "
        "default, as it is slow; its ratios are taken against sweeps of as many jobs)",
    )
    parser.add_argument("--repeats", type=int, default=3, help="rounds; each runs all launchers (default: 3)")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="TEXT",
        help="only launchers whose name contains TEXT; repeatable",
    )
    parser.add_argument("--steps", type=int, default=350, help="training steps of a job (default: 350, about 1 s)")
    parser.add_argument("--cpu-jobs", type=int, default=200, metavar="N", help="trivial jobs for `cpu` (default: 200)")
    parser.add_argument(
        "--scale-jobs", type=int, nargs="+", metavar="N", help="trivial jobs for `scale` (default: see above)"
    )
    parser.add_argument(
        "--fault", action="append", default=[], metavar="TEXT", help="only faults whose name contains TEXT; repeatable"
    )
    parser.add_argument("--flood-mib", type=int, default=200, help="output of the flooding job (default: 200)")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables to a file as well")
    return parser.parse_args(argv)


def make_options(given: argparse.Namespace) -> Options:
    """Return the command line as the measurements take it."""
    counts = [text.rpartition("=") for text in given.jobs]
    scale = given.scale_jobs or ([1000, 10_000] if "scale" in given.what else [1000])
    peers = [peer for peer in PEERS if not given.only or any(text in peer.name for text in given.only)]
    return Options(
        jobs=next((int(number) for name, _, number in counts if not name), 32),
        most=tuple((name, int(number)) for name, _, number in counts if name),
        repeats=given.repeats,
        peers=tuple(peers),
        cpu_jobs=given.cpu_jobs,
        scale_jobs=tuple(scale),
        faults=tuple(given.fault),
    )


def main(argv: Sequence[str]) -> int:
    """Run the chosen measurements and print their tables."""
    given = read_arguments(argv)
    adopt_orphans()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:AT_A_TIME])
    texts: list[str] = []
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        write_app(Path(name), steps=given.steps, flood_mib=given.flood_mib)
        bench = Bench(Path(name), make_options(given))
        for what in given.what or DEFAULT:
            for part in BENCHES[what](bench):
                if isinstance(part, Row):
                    rows.append(part)
                else:
                    texts.append(part)
                    print(part, end="\n\n", flush=True)
    if rows:
        texts.append(goal_table(rows))
        print(texts[-1])
    if given.markdown:
        given.markdown.write_text("\n\n".join(texts) + "\n", encoding="utf-8")
    return 0 if all(row.met for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
