"""The slot pool, what the settings may be, and what is found out about a machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lit_hydra_bridge.errors import SweepSettingsError
from lit_hydra_bridge.sweep import machine
from lit_hydra_bridge.sweep.job import Slot
from lit_hydra_bridge.sweep.job_environment import changes
from lit_hydra_bridge.sweep.settings import LitLocalSettings, checked, needed_devices
from lit_hydra_bridge.sweep.slots import SlotPool, sized_pool

NEEDS = st.sampled_from([0.0, 0.25, 1 / 3, 0.5, 1.0, 2.0, 3.0])


@given(st.lists(NEEDS, min_size=1, max_size=40), st.integers(1, 5), st.integers(1, 8), st.data())
def test_no_device_is_ever_held_beyond_its_whole(
    needs: list[float], count: int, n_jobs: int, data: st.DataObject
) -> None:
    pool = SlotPool([str(i) for i in range(count)], n_jobs, 1)
    held: list[Slot] = []
    for needed in needs:
        if held and data.draw(st.booleans()):
            pool.give_back(held.pop(data.draw(st.integers(0, len(held) - 1))))
        slot = pool.take(needed)
        if slot is not None:
            held.append(slot)
            assert len(slot.devices) == (int(needed) if needed >= 1 else int(needed > 0))
        for device in range(count):
            assert sum(each.share for each in held if str(device) in each.devices) <= 1
        assert len(held) <= n_jobs
    for slot in held:
        pool.give_back(slot)
    if n_jobs >= count:  # all is free again
        assert all(pool.take(1.0) for _ in range(count))


def test_a_slot_is_refused_only_while_too_little_is_free() -> None:
    pool = SlotPool(["a", "b"], 9, 1)
    first, second = pool.take(0.5), pool.take(0.5)
    assert first and second and first.devices == second.devices == ("a",)  # filled up before another is begun
    whole = pool.take(1)
    assert whole and whole.devices == ("b",) and pool.take(0.1) is None
    pool.give_back(first)
    again = pool.take(0.5)
    assert again and again.devices == ("a",) and pool.take(1) is None


def test_thirds_make_a_whole() -> None:
    pool = SlotPool(["a"], 9, 1)
    assert [bool(pool.take(1 / 3)) for _ in range(4)] == [True, True, True, False]


@pytest.mark.parametrize(
    ("devices", "needed", "jobs", "cores", "n_jobs", "threads", "expected"),
    [
        (0, 0.0, 10, 8, None, None, (8, 1)),  # a job a core
        (0, 0.0, 2, 8, None, None, (8, 4)),  # fewer jobs than cores: more threads for each
        (0, 0.0, 10, 8, 3, None, (3, 2)),
        (0, 0.0, 10, 8, None, 2, (4, 2)),
        (4, 1.0, 10, 32, None, None, (4, 8)),
        (4, 2.0, 10, 32, None, None, (2, 16)),
        (4, 0.5, 10, 32, None, None, (8, 4)),
        (4, 1 / 3, 100, 24, None, None, (12, 2)),
        (4, 0.0, 10, 32, None, None, (32, 3)),
        (4, None, 10, 32, None, None, (4, 8)),
        (4, 1.0, 10, 2, None, None, (4, 1)),
        (8, 1.0, 10, 32, 2, None, (2, 16)),
        (2, 1.0, 100, 32, 50, None, (50, 16)),  # as many as are asked for, but two devices
    ],
)
def test_a_pool_fits_the_machine(
    devices: int, needed: float | None, jobs: int, cores: int, n_jobs: Any, threads: Any, expected: tuple[int, int]
) -> None:
    names = [str(i) for i in range(devices)]
    pool = sized_pool(names, needed, jobs=jobs, cores=cores, n_jobs=n_jobs, threads=threads)
    assert (pool.n_jobs, pool.threads) == expected


def test_more_devices_than_there_are() -> None:
    with pytest.raises(SweepSettingsError, match=r"needs 3 devices, and there are 2 \(0, 1\)"):
        sized_pool(["0", "1"], 3.0, jobs=1, cores=1, n_jobs=None, threads=None)


@pytest.mark.parametrize(
    ("value", "count", "expected"),
    [
        (None, 0, 0), (None, 4, 1), (0, 4, 0), (2, 4, 2), (2.0, 4, 2), (0.5, 4, 0.5), ("2", 4, 2), ("0.25", 4, 0.25),
        (-1, 4, 4), ("auto", 4, 4), ("auto", 0, 0), ([0, 1], 4, 2), ("0,1,3", 4, 3),
    ],
)  # fmt: skip
def test_needed_devices_reads_what_a_trainer_takes(value: Any, count: int, expected: float) -> None:
    assert needed_devices(value, count) == expected


@pytest.mark.parametrize("value", [1.5, -2, "many", True, float("nan"), {"a": 1}])
def test_needed_devices_refuses_nonsense(value: Any) -> None:
    with pytest.raises(SweepSettingsError, match="devices_per_job"):
        needed_devices(value, 4)


BAD = {
    "n_jobs": [0, -1, 1.5, "two", True],
    "devices": [-1, "", [], [0, 0], [True], 1.5],
    "threads_per_job": [0, "x", 2.5],
    "timeout_min": [0, -1, "soon", float("nan")],
    "max_retries": [-1, None, 1.5],
    "on_failure": ["explode", None],
    "resume": ["yes", None, 1],
    "start_method": ["thread", None],
    "preload": [7, [1]],
    "progress": ["loud", True],
    "output": ["nowhere"],
    "strip_slurm": ["yes", None],
    "results_csv": ["yes", None, 1],
    "grace_s": [-1, None, float("inf")],
    "log_limit_mib": [0, "big"],
}


def test_every_setting_has_bad_values_here() -> None:
    assert set(BAD) | {"devices_per_job", "_target_"} == set(LitLocalSettings.__dataclass_fields__)


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_nonsense_is_one_clear_error(name: str, value: Any) -> None:
    with pytest.raises(SweepSettingsError) as raised:
        checked({name: value})
    text = str(raised.value)
    assert f"hydra.launcher.{name}={value!r}: expected" in text and "\n" not in text


def test_an_unknown_setting_names_those_that_there_are() -> None:
    with pytest.raises(SweepSettingsError, match=r"no setting 'n_job'; it has .*n_jobs"):
        checked({"n_job": 2})


def test_the_defaults_are_good() -> None:
    assert checked({}) == LitLocalSettings()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"CUDA_VISIBLE_DEVICES": "2,3"}, ["2", "3"]),
        ({"CUDA_VISIBLE_DEVICES": "GPU-8932f937, MIG-41b35943"}, ["GPU-8932f937", "MIG-41b35943"]),
        ({"CUDA_VISIBLE_DEVICES": "0,-1,1"}, ["0"]),  # as CUDA reads it
        ({"CUDA_VISIBLE_DEVICES": ""}, []),
        ({"HIP_VISIBLE_DEVICES": "1"}, ["1"]),
        ({"ROCR_VISIBLE_DEVICES": "GPU-a"}, ["GPU-a"]),
        ({"CUDA_VISIBLE_DEVICES": "7", "HIP_VISIBLE_DEVICES": "1"}, ["7"]),
    ],
)
def test_a_users_own_mask_is_respected(environment: dict[str, str], expected: list[str]) -> None:
    assert machine.visible_devices(environment) == expected
    assert machine.mask_names(environment) == [name for name in machine.MASKS if name in environment]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.max": "200000 100000"}, 2.0),
        ({"cpu.max": "max 100000"}, None),
        ({"cpu.cfs_quota_us": "150000", "cpu.cfs_period_us": "100000"}, 1.5),
        ({"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000"}, None),
        ({"cpu.max": "rubbish"}, None),
        ({}, None),
    ],
)
def test_a_control_groups_quota(files: dict[str, str], expected: float | None, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text + "\n")
    assert machine._quota_of(tmp_path) == expected


def test_there_is_a_core() -> None:
    assert machine.usable_cores() >= 1


def test_a_jobs_environment() -> None:
    base = {"LOCAL_RANK": "0", "MASTER_PORT": "9", "TORCHELASTIC_RUN_ID": "x", "PATH": "/bin", "OMP_NUM_THREADS": "3"}
    found = changes(
        base, Slot(devices=("GPU-a", "GPU-b"), threads=4), masks=["CUDA_VISIBLE_DEVICES"], token="t", progress="p",
        frozen_config="c",
    )  # fmt: skip
    assert found["CUDA_VISIBLE_DEVICES"] == "GPU-a,GPU-b"
    assert [found[name] for name in ("LOCAL_RANK", "MASTER_PORT", "TORCHELASTIC_RUN_ID")] == [None] * 3
    assert {found[name] for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")} == {"4"}
    assert "PATH" not in found


def test_a_users_own_thread_count_is_left_as_it_is() -> None:
    base = {"OMP_NUM_THREADS": "3", "MKL_NUM_THREADS": "1"}
    found = changes(base, Slot(threads=3), masks=[], token="t", progress="p", frozen_config="c")
    assert "OMP_NUM_THREADS" not in found and "MKL_NUM_THREADS" not in found
