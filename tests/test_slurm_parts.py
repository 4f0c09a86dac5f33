"""Parts of lit_slurm that need no Slurm: what an allocation has, and how an interrupted epoch's data go on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from torch.utils.data import BatchSampler, RandomSampler

from lit_hydra_bridge.sweep import machine
from lit_hydra_bridge.sweep.folder import SweepFolder
from lit_hydra_bridge.sweep.job_environment import allocation_names
from lit_hydra_bridge.sweep.slurm.data_position import SkippingSampler
from lit_hydra_bridge.sweep.slurm.folder import SubmittedJob, new_submission, newest_submission_of, submissions
from lit_hydra_bridge.sweep.slurm.hpc_checkpoint import Position, next_in, random_state, restore_random_state


@pytest.mark.parametrize(
    ("variables", "cores"),
    [
        ({"SLURM_JOB_ID": "1", "SLURM_CPUS_ON_NODE": "1"}, 1),
        ({"SLURM_JOB_ID": "1", "SLURM_JOB_CPUS_PER_NODE": "1(x2),3"}, 1),
        ({"SLURM_CPUS_ON_NODE": "1"}, None),
        ({"SLURM_JOB_ID": "1", "SLURM_CPUS_ON_NODE": "1000000"}, None),
        ({"SLURM_JOB_ID": "1", "SLURM_CPUS_ON_NODE": "many"}, None),
    ],
)
def test_an_allocations_cores_are_the_most(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], cores: int | None
) -> None:
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        monkeypatch.delenv(name)
    alone = machine.usable_cores()
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert machine.usable_cores() == (cores or alone)


def test_an_allocations_devices_count_where_there_is_no_mask() -> None:
    allocated = {"SLURM_JOB_GPUS": "2,3", "SLURM_STEP_GPUS": "3"}
    assert machine.visible_devices(allocated) == ["3"]
    assert machine.visible_devices({"SLURM_JOB_GPUS": "2,3"}) == ["2", "3"]
    assert machine.visible_devices({**allocated, "CUDA_VISIBLE_DEVICES": "0"}) == ["0"]


def test_what_has_nothing_to_do_with_ranks_stays() -> None:
    names = {"SLURM_PROCID": "1", "SLURM_CONF": "/x", "SLURM_TMPDIR": "/y", "HOME": "/z"}
    assert allocation_names(names) == ["SLURM_PROCID"]


@pytest.mark.parametrize("done", [0, 1, 5, 6, 9])
def test_an_epoch_goes_on_in_its_own_order(done: int) -> None:
    def sampler() -> BatchSampler:
        return BatchSampler(RandomSampler(range(12)), batch_size=2, drop_last=False)

    torch.manual_seed(1)
    whole = list(sampler())
    after = torch.rand(1)
    torch.manual_seed(1)
    began = iter(sampler())
    for _ in range(done):
        next(began, None)
    position = Position(fit=1, batches=done, now=random_state())
    torch.manual_seed(1)
    skipping = SkippingSampler(sampler(), position)
    assert len(skipping) == 6 and skipping.batch_size == 2
    assert list(skipping) == whole[done:]
    if done:
        assert torch.equal(torch.rand(1), after)
    # The next epoch has all of its batches.
    assert len(list(skipping)) == 6


def test_random_state_is_restored() -> None:
    import random

    import numpy

    state = random_state()
    drawn = (random.random(), numpy.random.rand(), torch.rand(1).item())
    restore_random_state(state)
    assert (random.random(), numpy.random.rand(), torch.rand(1).item()) == drawn


def test_checkpoints_are_counted_as_lightning_does(tmp_path: Path) -> None:
    assert next_in(tmp_path).name == "hpc_ckpt_1.ckpt"
    (tmp_path / "hpc_ckpt_9.ckpt").touch()
    (tmp_path / "hpc_ckpt_x.ckpt").touch()
    assert next_in(tmp_path).name == "hpc_ckpt_10.ckpt"


def test_a_job_belongs_to_the_newest_submission_that_has_it(tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path / "a sweep")
    folder.prepare()
    first = new_submission(folder, [SubmittedJob(number=n, overrides=(f"x={n}",)) for n in (0, 1)])
    assert [job.id for job in first.name_jobs(["7_0", "7_1"])] == ["7_0", "7_1"]
    second = new_submission(folder, [SubmittedJob(number=1, overrides=("x=1",))])
    assert submissions(folder) == [first, second] and first.token != second.token
    assert newest_submission_of(first, 0) == first and newest_submission_of(first, 1) == second
    assert newest_submission_of(second, 5) is None
    (second.path / "jobs.json").write_text("not JSON")
    assert second.jobs() == [] and newest_submission_of(first, 1) == first
