"""However a program was started, `lit-hydra rerun` starts it so again, and `check` says beforehand whether it can."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipapp
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from lit_hydra_bridge import read_record
from lit_hydra_bridge.command_line import own_arguments, parse_python_command
from tests.shapes import Shape, groups_app, module_app, move_checkpoint, told
from tests.support import lit_hydra

# A command with subcommands, which takes its own arguments away before Hydra reads the rest.
SUBCOMMANDS = """
    import sys
    from argparse import ArgumentParser

    parser = ArgumentParser()
    parser.add_argument("command", choices=["train", "test"])
    parser.add_argument("--gpu", required=True)
    known, rest = parser.parse_known_args()
    sys.argv = [sys.argv[0], *rest]
    if known.command == "train":
        main()
"""
# One that makes up what Hydra reads.
MADE_UP = """
    import sys

    assert sys.argv.pop(1) == "--number=3"
    sys.argv[1:] = ["model.lr=0.25", "seed=4"]
    main()
"""


def with_main(shape: Shape, name: str, text: str) -> None:
    script = (shape.app.folder / "train.py").read_text()
    (shape.app.folder / name).write_text(script.replace("\n    main()\n", text))


@dataclass
class Start:
    """How an app is started, and what of it must be in the command that starts it again."""

    shape: Shape
    again: list[str]
    arguments: list[str]


def subcommand(folder: Path) -> Start:
    shape = groups_app(folder)
    with_main(shape, "tool.py", SUBCOMMANDS)
    shape.app.write("conf/other.yaml", "{defaults: [config, _self_], seed: 8}")
    start = [sys.executable, "-u", "-W", "ignore::FutureWarning", "-X", "utf8", "tool.py"]
    own = ["train", "--config-name", "other", "model.lr=0.25", "--gpu", "3"]
    again = ["-u", "-W ignore::FutureWarning", "-X utf8 tool.py train --gpu 3 --config-name=other model.lr=0.25"]
    return Start(Shape(shape.app, start), again, own)


def subcommand_of_a_module(folder: Path) -> Start:
    shape = module_app(folder)
    tool = "import sys\nfrom pkg.train import main\nassert sys.argv.pop(1) == 'train'\nmain()\n"
    shape.app.write("pkg/__main__.py", tool)
    return Start(Shape(shape.app, [sys.executable, "-m", "pkg"]), ["-m pkg train model.lr=0.25"], ["train"])


def run_by_another(folder: Path) -> Start:
    shape = groups_app(folder)
    runner = "import runpy\nimport sys\nsys.argv = sys.argv[1:]\nrunpy.run_path(sys.argv[0], run_name='__main__')\n"
    shape.app.write("runner.py", runner)
    return Start(Shape(shape.app, [sys.executable, "runner.py", "train.py"]), ["python", " train.py model.lr=0.25"], [])


def zip_file(folder: Path) -> Start:
    shape = module_app(folder)
    source = shape.app.folder / "zipped"
    shutil.copytree(shape.app.folder / "pkg", source / "pkg")
    zipapp.create_archive(source, shape.app.folder / "app.pyz", main="pkg.train:main")
    shutil.rmtree(shape.app.folder / "pkg")
    shape.app.write("net.py", "")
    return Start(Shape(shape.app, [sys.executable, "app.pyz"]), [" app.pyz model.lr=0.25"], [])


def code(folder: Path) -> Start:
    shape = module_app(folder)
    command = [sys.executable, "-c", "from pkg.train import main; main()"]
    return Start(Shape(shape.app, command), ["-c 'from pkg.train import main as main; main()' model.lr"], [])


STARTS = [subcommand, subcommand_of_a_module, run_by_another, zip_file, code]


@pytest.mark.parametrize("make", STARTS, ids=lambda make: make.__name__)
def test_a_program_is_started_as_it_was(make: Callable[[Path], Start], tmp_path: Path) -> None:
    start = make(tmp_path / "app")
    given = [] if "model.lr=0.25" in start.arguments else ["model.lr=0.25"]
    start.shape.train(*start.arguments, *given)
    checkpoint = move_checkpoint(start.shape, tmp_path / "kept")
    dry = start.shape.rerun(checkpoint, "--dry-run", cwd=tmp_path)
    for part in start.again:
        assert part in dry.stdout
    assert "ok   entry" in lit_hydra("check", str(checkpoint), cwd=tmp_path, check=False).stdout
    (run_told,) = told(start.shape.rerun(checkpoint, "epochs=0", cwd=tmp_path))
    assert run_told["config"]["model"]["lr"] == 0.25
    assert run_told["config"]["epochs"] == 0


def test_jobs_of_a_sweep_know_the_subcommand(tmp_path: Path) -> None:
    shape = subcommand(tmp_path / "app").shape
    command = ["train", "--gpu", "3", "-m", "hydra/launcher=lit_local", "epochs=1,2"]
    for method in ("fork", "spawn"):
        sweep = tmp_path / method
        shape.train(*command, f"hydra.launcher.start_method={method}", f"hydra.sweep.dir={sweep}")
        dry = shape.rerun(sweep / "1", "--dry-run", cwd=tmp_path)
        assert "tool.py train --gpu 3 epochs=2" in dry.stdout, method
        resume = lit_hydra("resume", str(sweep), "--dry-run", cwd=tmp_path).stdout
        assert "tool.py train --gpu 3 -m " in resume and "epochs=1,2" in resume, method


def test_a_program_that_gives_hydra_its_overrides_itself(tmp_path: Path) -> None:
    shape = groups_app(tmp_path / "app")
    with_main(shape, "launch.py", MADE_UP)
    own = Shape(shape.app, [sys.executable, "launch.py", "--number=3"])
    own.train()
    checkpoint = move_checkpoint(own, tmp_path / "kept")
    (run_told,) = told(own.rerun(checkpoint, "epochs=0", "seed=5", cwd=tmp_path))
    assert (run_told["config"]["model"]["lr"], run_told["config"]["seed"]) == (0.25, 5)


@pytest.mark.parametrize("how", ["pytest", "stdin"])
def test_what_is_no_program_is_refused_by_rerun_and_check_alike(how: str, tmp_path: Path) -> None:
    shape = groups_app(tmp_path / "app")
    script = shape.app.folder / "train.py"
    if how == "pytest":
        script.write_text(script.read_text().replace('"conf"', f'"{shape.app.folder / "conf"}"'))
        test = """
            import sys
            from train import main

            def test_it(monkeypatch):
                monkeypatch.setattr(sys, "argv", ["x", "epochs=1"])
                main()
        """
        shape.app.write("test_it.py", test)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"]
    else:
        command = [sys.executable, "-", f"--config-path={shape.app.folder / 'conf'}"]
    subprocess.run(command, cwd=shape.app.folder, check=True, input=script.read_bytes(), capture_output=True)
    checkpoint = move_checkpoint(shape, tmp_path / "kept")
    refused = shape.rerun(checkpoint, cwd=tmp_path, check=False)
    assert refused.returncode == 2 and "--script" in refused.stderr and refused.stderr.count("\n") == 1
    assert "FAIL entry" in lit_hydra("check", str(checkpoint), cwd=tmp_path, check=False).stdout


@pytest.mark.parametrize(
    ("command", "options", "program", "arguments"),
    [
        ("python train.py a=1", "", "train.py", "a=1"),
        ("python -um pkg.train a=1", "-u", "-m pkg.train", "a=1"),
        ("python -Ombuild", "-O", "-m build", ""),
        ("python -X dev -Xutf8=1 -W error -i t.py", "-X dev -X utf8=1 -W error", "t.py", ""),
        ("python -W ignore:text:UserWarning:pkg.mod:3 t.py", "-W ignore:text:UserWarning:pkg.mod:3", "t.py", ""),
        ("python -W error::evil.Module -W error::str -W x\ny t.py", "", "t.py", ""),
        ("python -X presite=evil -X pycache_prefix=/tmp/x -X perf t.py", "", "t.py", ""),
        ("python - a=1", "", "", "a=1"),
        ("python", "", "", ""),
    ],
)
def test_a_command_line_of_pythons(command: str, options: str, program: str, arguments: str) -> None:
    found = parse_python_command(command.split(" "))
    assert [" ".join(part) for part in (found.options, found.program, found.arguments)] == [options, program, arguments]


@pytest.mark.parametrize(
    ("arguments", "hydras", "own"),
    [
        ("train a=1", "a=1", "train"),
        ("a=1 --gpu 3 b=2", "a=1 b=2", "--gpu 3"),
        ("--set a=1 a=1", "a=1", "--set a=1"),
        ("train -m a=1,2 --config-name x +b=1 ~c", "a=1 +b=1 ~c hydra.job.num=0", "train"),
        ("-- a=1", "a=1", "--"),
        ("", "a=1", ""),
    ],
)
def test_a_programs_own_arguments(arguments: str, hydras: str, own: str) -> None:
    assert own_arguments(arguments.split(), hydras.split()) == own.split()


def test_the_record_of_a_zip_file_names_no_module(tmp_path: Path) -> None:
    start = zip_file(tmp_path / "app")
    start.shape.train()
    entry = read_record(start.shape.app.checkpoints()[0]).entry
    assert entry.module is None
