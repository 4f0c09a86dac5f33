"""A real Slurm on this machine, for the time of the tests: munged, slurmctld and slurmd in a folder of their own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL, SIGTERM

from tests.sweep_support import until

# Short waits where a real cluster has long ones: jobs that are queued again begin after cred_expire seconds.
CONFIG = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ctld_port}
SlurmdPort={d_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
JobRequeue=1
SchedulerParameters=sched_interval=1,batch_sched_delay=0,bf_interval=1
KillWait=5
MinJobAge=300
MaxArraySize=21
SlurmdParameters=config_overrides
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 State=UNKNOWN
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=main Nodes={host} Default=YES State=UP MaxTime=60 PriorityTier=1 GraceTime=60
PartitionName=urgent Nodes={host} State=UP MaxTime=60 PriorityTier=9
"""
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel")


def why_not() -> str | None:
    """Return why there can be no Slurm here; None where there can."""
    if os.geteuid() != 0:
        return "a Slurm for the tests can only be started by root"
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        return f"{', '.join(missing)} not installed (Debian: apt-get install slurm-wlm munge)"
    return None


@dataclass
class Cluster:
    """A running Slurm."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """What lets Slurm's commands find it."""
        return {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def run(self, *command: str, check: bool = True) -> str:
        """Run one of Slurm's commands; return what it printed."""
        done = subprocess.run(
            command, env={**os.environ, **self.environment}, capture_output=True, text=True, timeout=60
        )
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def states(self) -> dict[str, str]:
        """Return the state of each job that Slurm remembers, by its id."""
        lines = self.run("squeue", "--noheader", "--array", "--states=all", "--format=%i|%T", check=False).splitlines()
        return dict(line.split("|") for line in lines)

    def raw_id(self, id: str) -> str:
        """Return the number that Slurm itself has for one job of an array."""
        lines = self.run("squeue", "--noheader", "--array", "--states=all", "--format=%i|%A").splitlines()
        return dict(line.split("|") for line in lines)[id]

    def start_controller(self) -> None:
        """Start slurmctld, and wait until it answers."""
        self.run("slurmctld")
        until(lambda: self.run("sinfo", "--noheader", check=False), "Slurm answers", 30)

    def stop_controller(self) -> None:
        """Stop it; slurmd and the jobs go on."""
        self._stop("slurmctld.pid")

    def start(self) -> None:
        """Start all."""
        folder = self.folder
        folder.chmod(0o755)  # munged wants its socket to be within everybody's reach
        for name in ("state", "spool"):
            (folder / name).mkdir()
        (folder / "munge.key").write_bytes(os.urandom(1024))
        (folder / "munge.key").chmod(0o400)
        host = socket.gethostname().partition(".")[0]
        ctld_port, d_port = _free_ports()
        text = CONFIG.format(folder=folder, host=host, ctld_port=ctld_port, d_port=d_port)
        (folder / "slurm.conf").write_text(text)
        files = [f"--{name}-file={folder}/{file}" for name, file in _MUNGE_FILES.items()]
        self.run("munged", f"--socket={folder}/munge.socket", *files)
        self.run("slurmctld")
        self.run("slurmd")
        until(lambda: "idle" in self.run("sinfo", "--noheader", "--format=%t", check=False), "the node is ready", 30)

    def stop(self) -> None:
        """End all."""
        for name in ("slurmd.pid", "slurmctld.pid", "munged.pid"):
            self._stop(name)

    def _stop(self, pid_file: str) -> None:
        with suppress(OSError, ValueError):
            pid = int((self.folder / pid_file).read_text())
            os.kill(pid, SIGTERM)
            deadline = time.monotonic() + 15
            while _runs(pid):
                if time.monotonic() > deadline:
                    os.kill(pid, SIGKILL)
                time.sleep(0.05)


_MUNGE_FILES = {"key": "munge.key", "pid": "munged.pid", "log": "munged.log", "seed": "munged.seed"}


def _runs(pid: int) -> bool:
    """Tell whether a process runs; one that nobody has waited for does not."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    return False


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


@contextmanager
def running(folder: Path) -> Iterator[Cluster]:
    """A Slurm while the block runs."""
    cluster = Cluster(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.run("scancel", "--user=root", check=False)
        cluster.stop()
