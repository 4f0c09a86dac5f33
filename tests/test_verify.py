"""`lit-hydra rerun --verify`: the same run again gives the same bits, and where it does not, that is said."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch

from lit_hydra_bridge import read_record
from lit_hydra_bridge.reload.rerun.verify import compare_weights
from tests.shapes import SHAPES, Shape, groups_app, move_checkpoint
from tests.support import lit_hydra, run

EXAMPLE = Path(__file__).resolve().parents[1] / "example_app"


@pytest.mark.matrix
@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_of_app_is_bit_identical(name: str, tmp_path: Path) -> None:
    shape = SHAPES[name](tmp_path / "app")
    shape.train("model.lr=0.15")
    checkpoint = move_checkpoint(shape, tmp_path / "an empty=folder")
    done = shape.rerun(checkpoint, "--verify", cwd=checkpoint.parent)
    assert done.stdout.splitlines()[-1] == "bit-identical", done.stdout
    assert "weights  bit-identical (2 tensors)" in done.stdout
    assert list(checkpoint.parent.iterdir()) == [checkpoint]
    assert not list(shape.app.folder.rglob("*.ckpt")), "what it ran is gone again"


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example app, so that what it writes lies beside it."""
    folder = tmp_path_factory.mktemp("example")
    shutil.copytree(EXAMPLE, folder / "example_app", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def _train(folder: Path, *arguments: str) -> None:
    run(sys.executable, "example_app/train.py", *arguments, "trainer.max_epochs=2", cwd=folder)


def _taken_away(run_folder: Path, to: Path) -> Path:
    (found,) = run_folder.glob("checkpoints/epoch=*.ckpt")
    to.mkdir(parents=True)
    shutil.move(found, to)
    shutil.rmtree(run_folder)
    return to / found.name


@pytest.mark.parametrize("arguments", [["model=mlp", "optimizer=sgd"], ["model=cnn", "optimizer=adam"]], ids=" ".join)
def test_the_example_app(example: Path, arguments: list[str], tmp_path: Path) -> None:
    _train(example, *arguments, f"hydra.run.dir={tmp_path}/run")
    checkpoint = _taken_away(tmp_path / "run", tmp_path / "kept")
    done = lit_hydra("rerun", str(checkpoint), "--verify", "--json", cwd=checkpoint.parent)
    verdict = json.loads(done.stdout[done.stdout.index("{") :])
    assert verdict["identical"] and verdict["tensors"] > 4 and verdict["again"] == checkpoint.name
    assert not verdict["metrics"] and {"val_acc", "train_loss"} <= read_record(checkpoint).metrics.keys()


def test_a_job_of_a_sweep(example: Path, tmp_path: Path) -> None:
    _train(example, "-m", "optimizer.lr=0.01,0.02", f"hydra.sweep.dir={tmp_path}/sweep")
    checkpoint = _taken_away(tmp_path / "sweep" / "1", tmp_path / "kept")
    shutil.rmtree(tmp_path / "sweep")
    done = lit_hydra("rerun", str(checkpoint), "--verify", cwd=checkpoint.parent)
    assert done.stdout.splitlines()[-1] == "bit-identical" and "hydra.job.num=1" in done.stderr


def test_a_resumed_run_from_its_last_checkpoint_alone(example: Path, tmp_path: Path) -> None:
    """What it was resumed from is gone as well: the lineage has what is needed to make that again."""
    _train(example, f"hydra.run.dir={tmp_path}/first")
    first = _taken_away(tmp_path / "first", tmp_path / "kept")
    resumed = ("--resume", "trainer.max_epochs=3", f"hydra.run.dir={tmp_path}/second")
    lit_hydra("rerun", str(first), *resumed, cwd=tmp_path)
    second = _taken_away(tmp_path / "second", tmp_path / "alone")
    with_first = lit_hydra("rerun", str(second), "--verify", cwd=second.parent)
    assert with_first.stdout.splitlines()[-1] == "bit-identical" and "making it again" not in with_first.stderr

    shutil.rmtree(first.parent)
    done = lit_hydra("rerun", str(second), "--verify", cwd=second.parent)
    assert done.stdout.splitlines()[-1] == "bit-identical", done.stdout
    assert "is gone: making it again first" in done.stderr


def test_a_difference_is_named(tmp_path: Path) -> None:
    shape = groups_app(tmp_path / "app")
    shape.train("epochs=1")
    checkpoint = move_checkpoint(shape, tmp_path / "kept")
    net = shape.app.folder / "net.py"
    net.write_text(
        net.read_text().replace("SGD(self.parameters(), lr=self.hparams.lr)", "SGD(self.parameters(), lr=1.0)")
    )
    done = shape.rerun(checkpoint, "--verify", cwd=tmp_path, check=False)
    assert done.returncode == 1 and done.stdout.splitlines()[-1] == "NOT the same"
    assert "the first: layer.weight: largest difference" in done.stdout and "config   the same" in done.stdout

    net.write_text("raise RuntimeError('broken')")
    broken = shape.rerun(checkpoint, "--verify", cwd=tmp_path, check=False)
    assert broken.returncode == 2
    assert "exit status 1" in broken.stderr.splitlines()[-1] and "no checkpoint at step 2" in broken.stderr


def test_a_cause_is_named_where_the_records_hold_one(tmp_path: Path) -> None:
    shape = groups_app(tmp_path / "app")
    script = shape.app.folder / "train.py"
    plain = script.read_text()
    script.write_text(plain.replace("seed_everything(cfg.seed", "seed_everything(int.from_bytes(os.urandom(3), 'big')"))
    shape.train("epochs=1")
    checkpoint = move_checkpoint(shape, tmp_path / "kept")
    drawn = shape.rerun(checkpoint, "--verify", cwd=tmp_path, check=False, env={"OMP_NUM_THREADS": "2"})
    assert drawn.returncode == 1 and drawn.stdout.splitlines()[-1] == "NOT the same"
    causes = drawn.stdout.partition("What may be the cause:")[2]
    assert "seed " in causes and "drawn anew" in causes and "threads 1 -> 2" in causes


def test_a_value_that_was_added_and_changes_nothing(tmp_path: Path) -> None:
    shape = groups_app(tmp_path / "app")
    shape.train("epochs=1")
    checkpoint = move_checkpoint(shape, tmp_path / "kept")
    done = shape.rerun(checkpoint, "--verify", "+note=x", cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == "bit-identical, config differs in note"


def test_a_checkpoint_that_the_run_replaces_or_deletes_is_compared(tmp_path: Path) -> None:
    """A copy of an early checkpoint is compared with its own step, whatever the run does to it later."""
    shape = groups_app(tmp_path / "app")
    script = shape.app.folder / "train.py"
    saver = "pl.callbacks.ModelCheckpoint(hydra_cfg.runtime.output_dir, 'early', save_top_k=1, every_n_epochs=1)"
    script.write_text(script.read_text().replace("trainer(max_epochs", f"trainer(callbacks={saver}, max_epochs"))
    shape.train("epochs=1", f"hydra.run.dir={tmp_path}/run")
    shutil.move(tmp_path / "run" / "early.ckpt", tmp_path / "early.ckpt")
    done = shape.rerun(tmp_path / "early.ckpt", "--verify", "epochs=3", cwd=tmp_path, check=False)
    assert "weights  bit-identical (2 tensors)" in done.stdout and "~ epochs: 1 -> 3" in done.stdout
    assert done.returncode == 1, "the config was changed"


def test_weights_are_compared_bit_by_bit(tmp_path: Path) -> None:
    def saved(name: str, **tensors: torch.Tensor) -> Path:
        torch.save({"state_dict": tensors}, tmp_path / name)
        return tmp_path / name

    nan = torch.tensor([float("nan"), 1.0])
    a = saved("a", same=nan, zero=torch.tensor(0.0), half=torch.ones(2).half(), gone=torch.ones(1))
    b = saved("b", same=nan, zero=torch.tensor(-0.0), half=torch.ones(2), new=torch.ones(1), empty=torch.ones(0))
    changes, count = compare_weights(a, b)
    assert count == 6
    assert [(change.name, change.difference) for change in changes] == [
        ("zero", 0.0),
        ("half", None),
        ("gone", None),
        ("new", None),
        ("empty", None),
    ]
    assert compare_weights(a, a) == ([], 4)


def _git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=n", "-c", "user.email=e@x", "-c", "commit.gpgsign=false")
    return run("git", *identity, *arguments, cwd=folder).stdout


@pytest.fixture(scope="module")
def versioned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Shape, Path]:
    """An app in git, trained with a change that was not committed; its code has moved on since."""
    folder = tmp_path_factory.mktemp("versioned")
    shape = groups_app(folder / "app")
    app = shape.app.folder
    (app / ".gitignore").write_text("outputs/\n__pycache__/\ndata.txt\n")
    (app / "data.txt").write_text("not tracked")
    net = app / "net.py"
    net.write_text(
        net.read_text().replace(
            "import torch\n", "import torch\nfrom pathlib import Path\nPath('data.txt').read_text()\n"
        )
    )
    _git(app, "init", "-q", "-b", "main")
    _git(app, "add", ".")
    _git(app, "commit", "-qm", "one")
    committed = net.read_text()
    net.write_text(committed.replace("torch.nn.Linear(4, 2)", "torch.nn.Linear(4, 2, bias=False)  # Größe"))
    shape.train("epochs=1")
    checkpoint = move_checkpoint(shape, folder / "kept")
    net.write_text(committed.replace("Linear(4, 2)", "Linear(4, 3)"))
    (app / "conf/model/small.yaml").write_text("{kind: other, lr: 9}")
    _git(app, "commit", "-qam", "two")
    return shape, checkpoint


def test_at_commit_runs_the_code_of_the_run(versioned: tuple[Shape, Path], tmp_path: Path) -> None:
    shape, checkpoint = versioned
    app = shape.app.folder
    (app / "conf/config.yaml").write_text((app / "conf/config.yaml").read_text() + "# not committed\n")
    before = (_git(app, "status", "--porcelain"), _git(app, "rev-parse", "HEAD"), _git(app, "worktree", "list"))
    without = shape.rerun(checkpoint, "--verify", cwd=tmp_path, check=False)
    assert without.returncode == 1 and "float32 (2, 4) -> float32 (3, 4)" in without.stdout
    assert "commit" in without.stderr and "uncommitted changes" in without.stderr

    done = shape.rerun(checkpoint, "--verify", "--at-commit", cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == "bit-identical", done.stdout
    assert "the app's config has changed" not in done.stderr
    shutil.rmtree(app / "outputs", ignore_errors=True)
    assert (_git(app, "status", "--porcelain"), _git(app, "rev-parse", "HEAD"), _git(app, "worktree", "list")) == before
    assert (app / "data.txt").read_text() == "not tracked"


def test_at_commit_has_the_submodules(tmp_path: Path) -> None:
    shape = groups_app(tmp_path / "app")
    app, library = shape.app.folder, tmp_path / "library"
    library.mkdir()
    (library / "scale.py").write_text("BIAS = True\n")
    for folder in (library, app):
        _git(folder, "init", "-q", "-b", "main")
    _git(library, "add", ".")
    _git(library, "commit", "-qm", "one")
    _git(app, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(library), "lib")
    (app / "net.py").write_text(
        (app / "net.py").read_text().replace("import torch\n", "import torch\nfrom lib.scale import BIAS\n", 1)
        .replace("Linear(4, 2)", "Linear(4, 2, bias=BIAS)")
    )  # fmt: skip
    (app / ".gitignore").write_text("outputs/\n__pycache__/\n")
    _git(app, "add", ".")
    _git(app, "commit", "-qm", "one")
    shape.train("epochs=1")
    (app / "lib/scale.py").write_text("BIAS = False\n")
    shape.train("epochs=1", "seed=4")
    clean, edited = sorted(shape.app.checkpoints(), key=lambda path: path.stat().st_mtime)
    done = shape.rerun(clean, "--verify", "--at-commit", cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == "bit-identical", done.stdout
    assert _git(app / "lib", "worktree", "list").count("\n") == 1
    refused = shape.rerun(edited, "--at-commit", cwd=tmp_path, check=False)
    assert refused.returncode == 2 and "lib: a submodule, which has changes of its own" in refused.stderr
    assert "lib: a submodule" in lit_hydra("check", str(edited), cwd=tmp_path, check=False).stdout
    shutil.rmtree(app / "lib")
    missing = shape.rerun(clean, "--at-commit", cwd=tmp_path, check=False)
    assert missing.returncode == 2 and "submodule update --init" in missing.stderr
    assert "FAIL commit here" in lit_hydra("check", str(clean), cwd=tmp_path, check=False).stdout


def test_at_commit_keeps_what_a_run_leaves_in_the_worktree(versioned: tuple[Shape, Path], tmp_path: Path) -> None:
    shape, checkpoint = versioned
    shutil.rmtree(shape.app.folder / "outputs", ignore_errors=True)
    done = shape.rerun(checkpoint, "--at-commit", cwd=tmp_path)
    (said,) = [line for line in done.stderr.splitlines() if "so it is kept" in line]
    kept = Path(said.split("so it is kept: ")[1].split(" (git")[0])
    assert list(kept.glob("outputs/*/*/checkpoints/*.ckpt"))
    run("bash", "-c", said.split("(")[-1].split(" removes it")[0], cwd=tmp_path)
    assert not kept.exists()
    shutil.rmtree(kept.parent)


def test_at_commit_says_what_can_not_be_had(versioned: tuple[Shape, Path], tmp_path: Path) -> None:
    shape, checkpoint = versioned
    run("git", "clone", "-q", "--depth", "1", f"file://{shape.app.folder}", str(tmp_path / "shallow"), cwd=tmp_path)
    moved = shape.app.folder.rename(shape.app.folder.with_name("elsewhere"))
    try:
        gone = shape.rerun(checkpoint, "--at-commit", cwd=tmp_path, check=False)
        assert gone.returncode == 2 and "run this inside a clone" in gone.stderr and gone.stderr.count("\n") == 1
        shallow = shape.rerun(checkpoint, "--at-commit", cwd=tmp_path / "shallow", check=False)
        assert shallow.returncode == 2 and "fetch origin" in shallow.stderr and shallow.stderr.count("\n") == 1
        elsewhere = shape.rerun(checkpoint, "--at-commit", "--verify", cwd=moved)
        assert elsewhere.stdout.splitlines()[-1] == "bit-identical"
    finally:
        moved.rename(shape.app.folder)
