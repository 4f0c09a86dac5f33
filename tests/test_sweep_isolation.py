"""What a job has in common with other jobs: nothing of what the app had open, or had made, before the launch."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sweep_support import SweepApp, job_states

READS_PRELUDE = """
import io
import mmap
import tarfile
import zipfile

import numpy

DATA = bytes(range(250)) * 400
(HERE / "data.bin").write_bytes(DATA)


def zipped():
    path = HERE / f"data-{os.getpid()}.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x", DATA)
    return zipfile.ZipFile(path)


def tarred():
    path = HERE / f"data-{os.getpid()}.tar"
    with tarfile.open(path, "w") as file:
        entry = tarfile.TarInfo("x")
        entry.size = len(DATA)
        file.addfile(entry, io.BytesIO(DATA))
    return tarfile.open(path)


def arrays():
    path = HERE / f"data-{os.getpid()}.npz"
    numpy.savez(path, x=numpy.frombuffer(DATA, dtype="u1"))
    return numpy.load(path)


def deleted():
    path = HERE / f"data-{os.getpid()}.bin"
    path.write_bytes(DATA)
    file = open(path, "rb")
    path.unlink()
    return file


def from_file(file):
    def read(place):
        file.seek(place)
        time.sleep(0.001)  # for another job to move it
        return file.read(4)

    return read


PLAIN, APPENDED, ZIP, TAR = open(HERE / "data.bin", "rb"), open(HERE / "data.bin", "a+b"), zipped(), tarred()
ARRAYS, MAPPED, DELETED = arrays(), numpy.memmap(HERE / "data.bin", mode="c"), deleted()
PLAIN.seek(1234)
SHARED = os.open(HERE / "data.bin", os.O_RDONLY | os.O_NOFOLLOW)
READS = {
    "plain": from_file(PLAIN),
    "appended": from_file(APPENDED),
    "deleted": from_file(DELETED),
    "descriptor": lambda place: (os.lseek(SHARED, place, 0), time.sleep(0.001), os.read(SHARED, 4))[2],
    "zip": lambda place: from_file(ZIP.open("x"))(place),
    "tar": from_file(TAR.extractfile("x")),
    "npz": lambda place: ARRAYS["x"][place : place + 4].tobytes(),
    "memmap": lambda place: MAPPED[place : place + 4].tobytes(),
}
"""


def test_a_file_that_was_open_has_a_place_of_its_own_in_each_job(tmp_path: Path) -> None:
    """And it is where it was at the launch."""
    app = SweepApp.create(tmp_path / "app")
    app.task(
        """
        begins = PLAIN.tell()
        note(f"ready {cfg.x}")
        while (HERE / "runs.txt").read_text().count("ready") < 2:
            time.sleep(0.01)
        places = [(i * 997 + cfg.x * 31) % 90_000 for i in range(40)]
        wrong = {name: sum(read(k) != DATA[k : k + 4] for k in places) for name, read in READS.items()}
        return {"begins": begins, "inheritable": os.get_inheritable(PLAIN.fileno()), **wrong}
        """,
        READS_PRELUDE,
    )

    app.sweep("x=1,2")

    none = dict.fromkeys(("plain", "appended", "deleted", "descriptor", "zip", "tar", "npz", "memmap"), 0)
    for state in job_states(app.out).values():
        assert state["attempts"][0]["start_method"] == "fork"
        assert state["return_value"] == {"begins": 1234, "inheritable": False, **none}


def test_a_file_opened_by_a_preloaded_module_has_a_place_of_its_own_in_each_job(tmp_path: Path) -> None:
    app = SweepApp.create(tmp_path / "app")
    app.write(
        "library.py",
        """
        from pathlib import Path
        import numpy

        FILE = open(Path(__file__), "rb")
        GENERATOR = numpy.random.default_rng()
        """,
    )
    app.task(
        """
        import library
        library.FILE.seek(cfg.x)
        note("moved")
        while app_notes().count("moved") < 2:
            time.sleep(0.01)
        return [library.FILE.tell(), library.GENERATOR.random()]
        """,
        "app_notes = lambda: (HERE / 'runs.txt').read_text()",
    )

    app.sweep("x=1,2", "hydra.launcher.start_method=forkserver", "hydra.launcher.preload=[library]")

    returned = [state["return_value"] for _, state in sorted(job_states(app.out).items())]
    assert [place for place, _ in returned] == [1, 2]
    assert returned[0][1] != returned[1][1]


# By what is open at import: how the jobs are started, and what is said of it.
SHARED = {
    "FILE = open(HERE / 'written.txt', 'w')": "written.txt, which is open for writing",
    "import sqlite3; FILE = sqlite3.connect(HERE / 'a.db'); FILE.execute('create table if not exists t (x)')": "a.db",
    "import socket; FILE = socket.create_server(('127.0.0.1', 0))": "a socket",
    "FILE = subprocess.Popen(['cat'], stdin=-1, stdout=-1)": "a pipe",
    "import tempfile; FILE = tempfile.TemporaryFile()": "which is open for writing",
    "import mmap; FILE = mmap.mmap(-1, 4096)": "the memory of mmap(-1)",
    "import select; FILE = select.epoll()": "anon_inode:[eventpoll]",
}


@pytest.mark.parametrize("prelude", SHARED)
def test_what_forks_would_share_is_a_reason_not_to_fork(tmp_path: Path, prelude: str) -> None:
    app = SweepApp.create(tmp_path / "app")
    app.task("return cfg.x", prelude)

    ended = app.sweep("x=1", "hydra.launcher.n_jobs=1")

    assert [state["attempts"][0]["start_method"] for state in job_states(app.out).values()] == ["forkserver"]
    (told,) = [line for line in ended.output.splitlines() if "jobs are not forked from this process" in line]
    assert "jobs would share " in told and SHARED[prelude] in told


def test_fork_is_refused_where_forks_would_share_a_file(tmp_path: Path) -> None:
    app = SweepApp.create(tmp_path / "app")
    app.task("return cfg.x", "FILE = open(HERE / 'written.txt', 'w')")

    ended = app.sweep("x=1,2", "hydra.launcher.start_method=fork", returncode=1)

    assert "hydra.launcher.start_method=fork can't be used here: jobs would share" in ended.output
    assert "written.txt" in ended.output
    assert not job_states(app.out)


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_what_a_job_has_not_flushed_is_written(tmp_path: Path, method: str) -> None:
    """As a program's files are at its end: one that was open at the launch, and one that the job has opened."""
    app = SweepApp.create(tmp_path / "app")
    app.task(
        """
        COMMON.write(f"job {cfg.x}\\n")
        KEPT.append(open(HERE / f"own-{cfg.x}.txt", "w"))
        KEPT[0].write("all of it")
        """,
        "COMMON, KEPT = open(HERE / 'common.txt', 'a'), []",
    )

    app.sweep("x=1,2", f"hydra.launcher.start_method={method}")

    assert sorted((app.folder / "common.txt").read_text().splitlines()) == ["job 1", "job 2"]
    assert [(app.folder / f"own-{x}.txt").read_text() for x in (1, 2)] == ["all of it"] * 2


GENERATORS_PRELUDE = """
import numpy as np
from numpy.random import PCG64, Generator, Philox, RandomState, SeedSequence, default_rng

LARGE, HEXADECIMAL = 122807528840384100672342137672332424406, 0xC0FFEE00_DEADBEEF_00112233_44556677


class Data:
    noise = default_rng()


def default(generator=default_rng()):
    return generator.random()


ONE = SeedSequence()
TWINS = default_rng(ONE), default_rng(ONE)
SPAWNED = default_rng().spawn(2) if hasattr(Generator, "spawn") else [default_rng(), default_rng()]
STATE, PHILOX, LEGACY_SEEDED = RandomState(), Generator(Philox()), RandomState(5)
SEEDED = [default_rng(seed) for seed in (5, LARGE, HEXADECIMAL, 2**70, [1, 2, 3], SeedSequence(3))]
OF_WORDS = default_rng(int.from_bytes(b"seed of words", "big"))
"""


def test_generators_of_numpy_that_were_not_seeded_differ_from_job_to_job(tmp_path: Path) -> None:
    """What was seeded draws the same; generators that have one seed in common still do."""
    app = SweepApp.create(tmp_path / "app")
    app.task(
        """
        one, other = (twin.random() for twin in TWINS)
        assert one == other
        unseeded = [one, *(each.random() for each in SPAWNED), Data.noise.random(), default(), STATE.rand()]
        unseeded += [PHILOX.random(), np.random.rand(), float(default_rng(ONE.spawn(1)[0]).random())]
        seeded = [each.random() for each in (*SEEDED, OF_WORDS)] + [LEGACY_SEEDED.rand()]
        return {"unseeded": unseeded, "seeded": seeded}
        """,
        GENERATORS_PRELUDE,
    )

    app.sweep("x=1,2,3", "hydra.launcher.start_method=fork")

    returned = [state["return_value"] for state in job_states(app.out).values()]
    drawn = [number for each in returned for number in each["unseeded"]]
    assert len(set(drawn)) == len(drawn) == 27
    assert returned[0]["seeded"] == returned[1]["seeded"] == returned[2]["seeded"]
