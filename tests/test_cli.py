"""The command line tool, as a real process: what it prints, how it ends, and what it never does."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from lit_hydra_bridge import __version__, read_record
from lit_hydra_bridge.cli import _COMMANDS
from lit_hydra_bridge.cli.printing import one_line, printable
from lit_hydra_bridge.hydra_text import yaml_text
from lit_hydra_bridge.record.run_record import RECORD_KEY
from lit_hydra_bridge.strict_json import dumps
from tests.support import App, lit_hydra, on_terminal, run

TOOL = str(Path(sys.executable).with_name("lit-hydra"))
HOSTILE = "\x1b[31mred\x1b]0;title\x07 \x9b2J \r\x08 \u202edesrever \u200b"

REALLY_ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a real run, in a git repository with uncommitted changes."""
    app = App.create(tmp_path_factory.mktemp("cli") / "app")
    app.script("""
        t = trainer(default_root_dir=".")
        t.fit(Net(lr=cfg.model.lr), data(), data())
    """)
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(app.folder))
    run(*git, "init", "-q", cwd=app.folder)
    run(*git, "add", ".", cwd=app.folder)
    run(*git, "commit", "-qm", "one", cwd=app.folder)
    with (app.folder / "net.py").open("a") as file:
        file.write("# uncommitted: Größe\n")
    app.run("model.lr=0.25", "+name='Größe 重み'")
    return app.checkpoints()[0]


def save(path: Path, **changes: Any) -> Path:
    """Save a checkpoint with a record of one's own."""
    data = {
        "schema_version": 2,
        "run_id": "0123456789",
        "created": "2026-01-02T03:04:05+00:00",
        "config": {"composed": "a: 1\n", "resolved": {"a": 1}, "unresolved": [], "redacted": []},
        "entry": {"argv": ["x"], "orig_argv": ["python", "x"], "cwd": "/app", "python": "/bin/python"},
        "environment": {"python": "3.11", "platform": "Linux", "host": "box", "packages": {}},
        **changes,
    }
    torch.save({RECORD_KEY: dumps(data)}, path)
    return path


def raw(*arguments: str, cwd: Path, **settings: Any) -> subprocess.CompletedProcess[bytes]:
    """Run the tool and get its bytes."""
    env = {**os.environ, **settings.pop("env", {})}
    return subprocess.run([TOOL, *arguments], cwd=cwd, env=env, capture_output=True, timeout=60, **settings)


def _shown_on_terminal(*arguments: str, cwd: Path, **settings: Any) -> str:
    code, shown = on_terminal(*arguments, cwd=cwd, **settings)
    assert code == 0, shown
    return shown


# --- show


def test_show_says_how_it_was_made_and_the_essentials_first(trained: Path) -> None:
    done = lit_hydra("show", str(trained), cwd=trained.parent)
    names = [line.split("  ")[0] for line in done.stdout.split("\n") if line and not line.startswith(" ")]
    assert names[:5] == ["job", "overrides", "commit", "versions", "model"]
    assert names.index("config") < names.index("run")
    commit = run("git", "rev-parse", "HEAD", cwd=trained.parent).stdout.strip()
    for part in ("model.lr=0.25", commit[:12], "uncommitted changes", f"torch {torch.__version__}", "decay: ${.lr}"):
        assert part in done.stdout
    assert "Größe 重み" in done.stdout
    assert done.stderr == ""
    screen = "\n".join(done.stdout.split("\n")[:24])
    assert "job " in screen and "overrides " in screen and "config\n" in screen and "lr: 0.25" in screen


def test_show_takes_a_runs_folder_and_a_url(trained: Path) -> None:
    whole = lit_hydra("show", trained.name, cwd=trained.parent).stdout
    assert lit_hydra("show", str(trained.parents[1]), cwd=trained.parent).stdout == whole
    assert lit_hydra("show", f"file://{trained}", cwd=trained.parent).stdout == whole
    assert run(sys.executable, "-m", "lit_hydra_bridge", "show", str(trained), cwd=trained.parent).stdout == whole


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_show_on_a_terminal_has_colours_that_any_background_takes(trained: Path, columns: int) -> None:
    shown = _shown_on_terminal("show", str(trained), cwd=trained.parent, columns=columns)
    codes = {code for part in shown.split("\x1b[")[1:] for code in part.partition("m")[0].split(";")}
    assert codes <= {"", "0", "1", "33", "35", "36"}, "the terminal's own colours"
    plain = shown
    for code in codes:
        plain = plain.replace(f"\x1b[{code}m", "")
    assert "overrides" in plain and "decay" in plain and "model" in plain
    assert "\x1b" not in _shown_on_terminal("show", str(trained), cwd=trained.parent, NO_COLOR="1", TERM="dumb")


def test_show_one_value(trained: Path) -> None:
    def value(*arguments: str) -> str:
        return lit_hydra("show", str(trained), *arguments, cwd=trained.parent).stdout

    assert value("model.lr") == value("model.decay") == "0.25\n"
    assert yaml.safe_load(value("model")) == {"lr": 0.25, "decay": 0.25}
    assert json.loads(value("model", "--json")) == {"lr": 0.25, "decay": 0.25}
    assert value("name") == "Größe 重み\n" and json.loads(value("name", "--json")) == "Größe 重み"
    assert value("source.dirty") == "true\n"
    assert value("training.model_key") == "null\n"
    assert value("hydra.overrides[0]") == value("hydra.overrides.0") == "model.lr=0.25\n"


def test_show_json_is_the_whole_record(trained: Path) -> None:
    done = raw("show", str(trained), "--json", cwd=trained.parent)
    assert done.stdout.isascii()
    assert json.loads(done.stdout) == read_record(trained).to_dict()


def test_json_stays_valid_with_numbers_that_are_none(tmp_path: Path) -> None:
    values = {"a": float("nan"), "b": [float("inf"), -float("inf")], "c": 1.5, 1: True}
    path = save(tmp_path / "a.ckpt", config={"composed": "", "resolved": values})

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    for key in ("config.resolved", "run_id"):
        json.loads(lit_hydra("show", str(path), key, "--json", cwd=tmp_path).stdout, parse_constant=refuse)
    shown = json.loads(lit_hydra("show", str(path), "--json", cwd=tmp_path).stdout, parse_constant=refuse)
    assert shown["config"]["resolved"] == {"a": "NaN", "b": ["Infinity", "-Infinity"], "c": 1.5, "1": True}


def test_show_diff_can_be_applied(trained: Path, tmp_path: Path) -> None:
    done = raw("show", str(trained), "--diff", cwd=trained.parent)
    assert "+# uncommitted: Größe\n".encode() in done.stdout
    run("git", "clone", "-q", str(trained.parents[1]), "copy", cwd=tmp_path)
    applied = subprocess.run(["git", "apply"], input=done.stdout, cwd=tmp_path / "copy", timeout=60)
    assert applied.returncode == 0
    assert (tmp_path / "copy" / "net.py").read_text() == (trained.parents[1] / "net.py").read_text()


def test_show_diff_says_why_there_is_none(tmp_path: Path) -> None:
    clean = {"commit": "abc", "dirty": False}
    for source, said in ((None, "no git state"), (clean, "those of commit abc"), ({"dirty": True}, "switched off")):
        done = lit_hydra("show", str(save(tmp_path / "a.ckpt", source=source)), "--diff", cwd=tmp_path, check=False)
        assert done.returncode == 1 and said in done.stderr and done.stdout == ""


# --- config


def test_config_prints_yaml(trained: Path) -> None:
    text = lit_hydra("config", str(trained), cwd=trained.parent).stdout
    assert yaml.safe_load(text)["model"] == {"lr": 0.25, "decay": "${.lr}"}
    resolved = yaml.safe_load(lit_hydra("config", str(trained), "--resolve", cwd=trained.parent).stdout)
    assert resolved == {"model": {"lr": 0.25, "decay": 0.25}, "seed": 7, "name": "Größe 重み"}


@given(st.text(st.sampled_from("a \x85\u2028\u2029\ufeff\n\r\t:#'\"\\-\x00\x7f\x9f\xa0\ud800\ufffeé😀0~")))
@example("a\x85b")
@example("\ud800")
def test_yaml_that_is_printed_is_read_as_the_same_texts(text: str) -> None:
    for value in ({"a": text}, {text: [text]}, {"a": {text: {"b": text}}}):
        assert OmegaConf.to_container(OmegaConf.create(yaml_text(value))) == value


def test_config_resolve_and_show_keep_what_yaml_reads_as_line_breaks(tmp_path: Path) -> None:
    values = {"a": "x\x85y", "b": ["\u2028", "\u2029 z", "\ufeff"], "c\x85": 1}
    path = save(tmp_path / "a.ckpt", config={"composed": yaml_text(values), "resolved": values})
    for arguments in (["config", "--resolve"], ["config"]):
        assert yaml.safe_load(lit_hydra(*arguments, str(path), cwd=tmp_path).stdout) == values
    shown = lit_hydra("show", str(path), "b", cwd=tmp_path).stdout
    assert yaml.safe_load(shown) == values["b"]


def test_show_has_the_metrics(trained: Path) -> None:
    said = lit_hydra("show", str(trained), cwd=trained.parent).stdout
    line = next(line for line in said.splitlines() if line.startswith("metrics"))
    assert re.search(r"loss \S+  val_loss \S+", line) or re.search(r"val_loss \S+  loss \S+", line), line


def test_config_is_written_whole_or_not_at_all(trained: Path, tmp_path: Path) -> None:
    target = tmp_path / "config.yaml"
    target.write_text("old")
    lit_hydra("config", str(trained), "-o", "config.yaml", cwd=tmp_path)
    assert target.read_text(encoding="utf-8") == read_record(trained).config.composed
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]
    umask = os.umask(0)
    os.umask(umask)
    assert target.stat().st_mode & 0o777 == 0o666 & ~umask
    done = lit_hydra("config", "no.ckpt", "-o", "config.yaml", cwd=tmp_path, check=False)
    assert done.returncode == 2 and target.read_text(encoding="utf-8") == read_record(trained).config.composed


def test_config_refuses_what_can_not_be_written(trained: Path, tmp_path: Path) -> None:
    done = lit_hydra("config", str(trained), "-o", "no/such/config.yaml", cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "Error: no/such/config.yaml: can't be written: there is no folder no/such\n"
    assert lit_hydra("config", str(trained), "-o", str(tmp_path), cwd=tmp_path, check=False).returncode == 2


def test_config_writes_into_a_device_and_leaves_it_one(trained: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE)
    lit_hydra("config", str(trained), "-o", str(pipe), cwd=tmp_path)
    assert reader.communicate(timeout=60)[0].decode() == read_record(trained).config.composed
    assert pipe.is_fifo()


# --- help, errors, exit codes


@pytest.mark.parametrize("command", [[], *([name] for name in _COMMANDS)])
def test_help_teaches_by_examples(command: list[str], tmp_path: Path) -> None:
    done = lit_hydra(*command, "--help", cwd=tmp_path)
    assert "Examples:\n  " in done.stdout and f"lit-hydra {' '.join(command)}".strip() in done.stdout
    assert max(map(len, done.stdout.split("\n"))) <= 80
    assert lit_hydra(*command, "-h", cwd=tmp_path).stdout == done.stdout


def test_the_list_of_commands_has_whole_summaries(tmp_path: Path) -> None:
    for columns in ("50", "80", "200"):
        shown = lit_hydra("--help", cwd=tmp_path, env={"COLUMNS": columns}).stdout
        listed = " ".join(shown.partition("Commands:")[2].partition("Examples:")[0].split())
        for name in _COMMANDS:
            summary = getattr(import_module(f"lit_hydra_bridge.cli.{name}"), name).help.partition("\n\n")[0]
            assert f"{name} {' '.join(summary.split()).partition('. ')[0]}" in listed


def test_version(tmp_path: Path) -> None:
    assert lit_hydra("--version", cwd=tmp_path).stdout == f"lit-hydra, version {__version__}\n"


@pytest.mark.parametrize("command", ["show", "config", "check", "rerun"])
def test_a_missing_path_is_explained(command: str, tmp_path: Path) -> None:
    done = lit_hydra(command, cwd=tmp_path, check=False)
    assert done.returncode == 2 and done.stdout == ""
    assert "PATH is missing" in done.stderr and f"  lit-hydra {command} outputs\n" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["show", "a", "b", "c"],
        ["show", "a", "--nonsense"],
        ["show", "a", "--diff", "--json"],
        ["show", "a", "k", "--diff"],
    ],
)
def test_a_wrong_command_line_ends_with_2(arguments: list[str], tmp_path: Path) -> None:
    done = lit_hydra(*arguments, cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout) == (2, "") and "Usage: " in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["show", "config", "check", "rerun"])
def test_errors_are_one_line_and_end_with_2(command: str, tmp_path: Path) -> None:
    (tmp_path / "text.ckpt").write_text("hello")
    (tmp_path / "empty.ckpt").write_text("")
    (tmp_path / "a\nb\x1b.ckpt").write_text("")
    torch.save({}, tmp_path / "bare.ckpt")
    cut = save(tmp_path / "cut.ckpt")
    cut.write_bytes(cut.read_bytes()[:-50])
    save(tmp_path / "hostile.ckpt", **{"run_id": [HOSTILE]})
    for name in (
        "no.ckpt",
        "text.ckpt",
        "empty.ckpt",
        "a\nb\x1b.ckpt",
        "bare.ckpt",
        "cut.ckpt",
        "hostile.ckpt",
        "no://x",
    ):
        done = lit_hydra(command, name, cwd=tmp_path, check=False)
        assert (done.returncode, done.stdout) == (2, ""), name
        assert done.stderr.startswith("Error: ") and done.stderr.count("\n") == 1, done.stderr
        assert done.stderr[:-1].isprintable()


def test_an_unknown_key_says_which_there_are(trained: Path) -> None:
    done = lit_hydra("show", str(trained), "model.rl", cwd=trained.parent, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "Error: there is no 'model.rl': 'model' has no 'rl'; it has: lr, decay\n"


# --- hostile records, odd outputs


def test_a_hostile_record_does_not_drive_the_terminal(tmp_path: Path) -> None:
    config = {"composed": f"a: {HOSTILE}\n", "resolved": {"a": HOSTILE, HOSTILE: [HOSTILE]}}
    source = {"commit": HOSTILE, "branch": HOSTILE, "dirty": False}
    save(tmp_path / "a.ckpt", run_id=HOSTILE, created=HOSTILE, config=config, source=source, gaps=[HOSTILE])
    for arguments in (["show"], ["show", "--json"], ["config"], ["config", "--resolve"], ["show", "a.ckpt", "a"]):
        command = arguments if len(arguments) > 2 else [arguments[0], "a.ckpt", *arguments[1:]]
        for text in (_shown_on_terminal(*command, cwd=tmp_path, NO_COLOR="1", TERM="dumb"),):
            assert all(character.isprintable() or character == "\n" for character in text), command
    piped = raw("show", "a.ckpt", cwd=tmp_path).stdout.decode()
    assert all(character.isprintable() or character == "\n" for character in piped), "a pager passes them on"
    done = lit_hydra("show", "a.ckpt", "b", cwd=tmp_path, check=False)
    assert done.returncode == 2 and done.stderr[:-1].isprintable()


@pytest.mark.parametrize(
    "env",
    [{"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}],
)
def test_any_locale_will_do(trained: Path, env: dict[str, str]) -> None:
    for arguments in (["show"], ["show", "--json"], ["show", "--diff"], ["config"], ["config", "--resolve"]):
        done = raw(arguments[0], trained.name, *arguments[1:], cwd=trained.parent, env=env)
        assert (done.returncode, done.stderr) == (0, b""), arguments
    assert raw("show", trained.name, "name", cwd=trained.parent, env=env).returncode == 0
    text = raw("config", trained.name, cwd=trained.parent, env=env).stdout.decode("utf-8")
    assert yaml.safe_load(text)["name"] == "Größe 重み"


def test_a_broken_pipe_is_silent(tmp_path: Path) -> None:
    large = "\n".join(f"key{i}: {'x' * 100}" for i in range(20_000))
    path = save(tmp_path / "a.ckpt", config={"composed": large, "resolved": {}})
    for command in ("show", "config", "show --json"):
        name, *more = command.split()
        shell = f'"{TOOL}" {name} "{path}" {" ".join(more)} | head -1'
        done = run("bash", "-c", shell, cwd=tmp_path)
        assert done.stderr == "" and done.stdout.count("\n") == 1


def test_an_output_that_can_not_be_written_is_one_error(trained: Path) -> None:
    for command in ("show", "config"):
        with Path("/dev/full").open("w") as full:
            done = subprocess.run([TOOL, command, str(trained)], stdout=full, stderr=subprocess.PIPE, timeout=60)
        assert done.returncode == 2
        assert done.stderr == b"Error: the output can't be written: No space left on device\n"


def test_a_closed_output_is_no_crash(trained: Path) -> None:
    for command in ("show", "config"):
        done = run("bash", "-c", f'"{TOOL}" {command} "{trained}" >&-', cwd=trained.parent, check=False)
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "text, shown", [("a\tb\n", "a\tb\n"), ("\x1b", "\\x1b"), ("ü 重 🚀", "ü 重 🚀"), ("\u202e", "\\u202e")]
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert "\n" not in one_line(text) and one_line("\ud800") == "\\ud800"


# --- completion


def complete(words: list[str], cwd: Path, at: int | None = None) -> list[str]:
    """Ask as click's script for bash does: words joined by newlines."""
    env = {
        "_LIT_HYDRA_COMPLETE": "bash_complete",
        "COMP_WORDS": "\n".join(words),
        "COMP_CWORD": str(len(words) - 1 if at is None else at),
    }
    return lit_hydra(cwd=cwd, env=env).stdout.split()


def test_keys_are_completed(trained: Path) -> None:
    name = trained.name
    assert name.count("=") == 2
    escaped = name.replace("=", "\\=")
    split = ["epoch", "=", "0-step", "=", "2.ckpt"]
    for path in ([escaped], [f"'{name}'"], split):
        offered = complete(["lit-hydra", "show", *path, "model."], trained.parent)
        assert offered == ["plain,model.lr", "plain,model.decay"], path
    assert complete(["lit-hydra", "show", *split, ""], trained.parent)[0] == "plain,model"


def test_paths_and_commands_are_completed(trained: Path) -> None:
    assert complete(["lit-hydra", "show", "ep"], trained.parent) == ["file,ep"]
    assert complete(["lit-hydra", "s"], trained.parent) == ["plain,show", "plain,strip"]
    assert complete(["lit-hydra", "show", "no.ckpt", "x"], trained.parent) == []


def test_hostile_keys_are_not_offered(tmp_path: Path) -> None:
    resolved = {"a\nplain,b": 1, "$(touch x)": 2, "$(id)": 2, "`id`": 2, HOSTILE: 3, "good": 4}
    save(tmp_path / "a.ckpt", config={"composed": "", "resolved": resolved})
    assert complete(["lit-hydra", "show", "a.ckpt", ""], tmp_path) == ["plain,good"]


# --- cost


def test_show_into_a_pipe_imports_nothing_heavy(trained: Path) -> None:
    for arguments in (["show"], ["show", "--json"], ["config"]):
        command = [
            sys.executable,
            "-X",
            "importtime",
            "-m",
            "lit_hydra_bridge",
            arguments[0],
            str(trained),
            *arguments[1:],
        ]
        lines = run(*command, cwd=trained.parent).stderr.split("\n")
        imported = {line.rpartition("|")[2].strip() for line in lines}
        assert "lit_hydra_bridge.reload.checkpoint" in imported
        heavy = {"torch", "lightning", "pytorch_lightning", "rich", "hydra", "omegaconf", "numpy", "fsspec", "yaml"}
        assert not imported & heavy
        assert not {name for name in imported if name.startswith("lit_hydra_bridge.record.")} - {
            "lit_hydra_bridge.record.run_record",
            "lit_hydra_bridge.record.record_json",
        }
