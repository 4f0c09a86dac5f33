"""Secrets of every kind, planted in one app: no file that we write and nothing that we print has one of them."""

from __future__ import annotations

import json
import shlex
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from lit_hydra_bridge.hydra_text import escape_interpolations, quoted
from lit_hydra_bridge.record.composed_config import read_config
from lit_hydra_bridge.record.redaction import REDACTED, Redactor, looks_secret
from tests.planted_secrets import ENVIRONMENT, HARMLESS, PLANTED, Planted
from tests.support import App, lit_hydra
from tests.test_loggers import OFFLINE

# --- each kind by itself ----------------------------------------------------------------------------------


def recorded(config: dict[str, Any]) -> Any:
    reading, gaps = read_config(OmegaConf.create(config), Redactor({}))
    assert gaps == []
    return reading


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.kind)
def test_a_secret_is_hidden_in_a_config_an_override_and_a_command_line(planted: Planted) -> None:
    value = OmegaConf.to_container(OmegaConf.create({"v": planted.value}))["v"]
    reading = recorded({"n": {"lr": 0.1, planted.key: value}})
    assert planted.secret not in repr(reading) and reading.resolved["n"]["lr"] == 0.1
    assert any(key.startswith(f"n.{planted.key}") for key in reading.redacted)
    if isinstance(value, str):
        assert planted.secret not in Redactor({}).override(f"+n.{planted.key}={quoted(value)}")
        assert planted.secret not in " ".join(Redactor({}).arguments(["x.py", f"--{planted.key}", value]))


@pytest.mark.parametrize("name", ENVIRONMENT)
def test_a_variables_secret_is_hidden_wherever_it_stands(name: str) -> None:
    redactor = Redactor(ENVIRONMENT)
    assert ENVIRONMENT[name] not in redactor.text(f"it said {ENVIRONMENT[name]} to me")
    assert ENVIRONMENT[name] not in redactor.override(f"run.name=a-{ENVIRONMENT[name]}")


@pytest.mark.parametrize("key", HARMLESS)
def test_what_is_no_secret_stays(key: str) -> None:
    reading = recorded({key: HARMLESS[key]})
    assert reading.composed == {key: HARMLESS[key]} and reading.redacted == []
    if not isinstance(HARMLESS[key], list | dict):
        text = f"+n.{key}={HARMLESS[key]}"
        assert Redactor({}).override(text) == text


words = st.sampled_from(
    ["adam", "a b", "x=1", "/data/x", "s3://b/k", "v1.2", "1e-3", "[a, b]", "{a: 1}", "a:b", "-x y"]
)
keys = st.sampled_from([key for key in sorted(HARMLESS) if not looks_secret(key)])
harmless = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 99) | st.floats(0, 1) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=9,
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(["model", "data", "trainer", "tokenizer"]), harmless))
def test_a_config_without_a_secret_is_recorded_as_it_is(config: dict[str, Any]) -> None:
    assert recorded(config).composed == config


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([str(planted.value) for planted in PLANTED]) | words, max_size=4).map("\n".join))
def test_hiding_twice_hides_no_more(text: str) -> None:
    once = Redactor({}).text(text)
    assert Redactor({}).text(once) == once


# W&B itself stores the command line and what the app prints; that is not ours.
WITHOUT_META = {**OFFLINE, "WANDB_X_DISABLE_META": "true", "WANDB_CONSOLE": "off"}

# --- all of them in one app -------------------------------------------------------------------------------

TASK = """
    if cfg.fails == "raise":
        raise RuntimeError("it could not log in: " + " and ".join(secrets(cfg)))
    if cfg.fails == "exit":
        print("it could not log in: " + " and ".join(secrets(cfg)), flush=True)
        os._exit(3)
    out = HydraConfig.get().runtime.output_dir
    loggers = [
        pl.loggers.CSVLogger(out, name="csv", version=""),
        pl.loggers.TensorBoardLogger(out, name="tensorboard", version=""),
        pl.loggers.WandbLogger(save_dir=out, project="tests", offline=True),
        pl.loggers.MLFlowLogger("tests", tracking_uri=cfg.store),
    ]
    t = trainer(logger=loggers, default_root_dir=out, enable_checkpointing=False)
    t.fit(Net(lr=0.1), data())
    t.save_checkpoint(out + "/last.ckpt")
    return {"told": " and ".join(secrets(cfg)), "loss": 0.5}
"""
PRELUDE = """
    import mlflow
    import wandb
    import torch.utils.tensorboard
    from hydra.core.hydra_config import HydraConfig

    def secrets(cfg):
        return [cfg.db.password, cfg.db.user_token, os.environ["MYSQL_PWD"]]
"""
PASSWORD, USER_TOKEN = "Qx7vW9-config-password", "Qx7vW9-swept-token"
URL_PASSWORD = "Qx7vW9-url-password"


@dataclass(frozen=True)
class Run:
    """What an app with secrets in it has left, and what was printed."""

    folder: Path
    printed: str
    secrets: dict[str, str]

    def leaks(self, text: bytes) -> list[str]:
        return [kind for kind, secret in self.secrets.items() if secret.encode() in text]


def everybodys_files(folder: Path) -> list[Path]:
    """Files that others may read; without Hydra's own, the app's, and what the app has printed."""
    others = (".hydra", "multirun.yaml", "job.log", "train.log", "output.log", "conf", "train.py", "net.py", ".git")
    return [
        path
        for path in folder.rglob("*")
        if path.is_file()
        and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
        and not set(path.relative_to(folder).parts) & {*others, "__pycache__"}
    ]


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A sweep of three jobs, with every planted secret in its config and some in its overrides."""
    app = App.create(tmp_path_factory.mktemp("app"))
    app.script(TASK, prelude=PRELUDE)
    planted = {f"n{i}": {each.key: each.value} for i, each in enumerate(PLANTED)}
    nodes = {
        "db": {"password": PASSWORD, "user_token": "none", "url": "none"},
        "planted": json.loads(escape_interpolations(json.dumps(planted))),
        "store": f"sqlite:///{app.folder / 'mlflow.db'}",
    }
    with (app.folder / "conf" / "config.yaml").open("a", encoding="utf-8") as file:
        yaml.safe_dump(nodes, file, allow_unicode=True)
    done = app.run(
        "-m", "hydra/launcher=lit_local", "hydra.sweep.dir=sweep", "hydra.launcher.n_jobs=2",
        f"db.user_token={USER_TOKEN}", f"db.url=postgres://me:{URL_PASSWORD}@db/x", "+fails=no,raise,exit",
        env={**WITHOUT_META, **ENVIRONMENT}, check=False, timeout_s=300,
    )  # fmt: skip
    secrets = {each.kind: each.secret for each in PLANTED} | ENVIRONMENT
    secrets |= {"password in the config": PASSWORD, "swept token": USER_TOKEN, "password in a URL": URL_PASSWORD}
    printed = done.stdout + done.stderr
    assert (app.folder / "sweep" / "2" / "job.json").exists(), printed
    return Run(app.folder, printed, secrets)


def test_no_file_of_a_sweep_that_others_may_read_has_a_secret(swept: Run) -> None:
    files = everybodys_files(swept.folder)
    names = {path.name for path in files}
    assert {"last.ckpt", "hparams.yaml", "job.json", "sweep.json", "results.csv", "mlflow.db"} <= names
    assert any("tfevents" in name for name in names) and any(name.endswith(".wandb") for name in names)
    leaks = {str(path.relative_to(swept.folder)): found for path in files if (found := swept.leaks(path.read_bytes()))}
    assert leaks == {}


def test_what_a_job_said_is_told_without_its_secrets(swept: Run) -> None:
    states = [json.loads((swept.folder / "sweep" / str(n) / "job.json").read_text()) for n in range(3)]
    assert states[0]["return_value"] == {"told": f"{REDACTED} and {REDACTED} and {REDACTED}", "loss": 0.5}
    for state in states[1:]:
        assert f"it could not log in: {REDACTED} and {REDACTED}" in state["attempts"][-1]["reason"]
    table, _, error = swept.printed.rpartition("Error executing job")
    assert f"it could not log in: {REDACTED}" in table and swept.leaks(table.encode()) == []
    assert error == "" or "RuntimeError" in error  # Hydra's own, of the app's own exception


@pytest.mark.parametrize(
    "command", ["ls sweep", "ls sweep --csv", "ls sweep --json", "resume sweep --dry-run", "show sweep/0/last.ckpt",
                "config sweep/0/last.ckpt", "diff sweep/0 sweep/0/last.ckpt", "check sweep/0/last.ckpt",
                "report sweep -o page.html"],
)  # fmt: skip
def test_no_command_shows_a_secret(swept: Run, command: str) -> None:
    done = lit_hydra(*shlex.split(command), cwd=swept.folder, check=False, env=ENVIRONMENT)
    assert done.returncode in (0, 1), done.stderr
    shown = (done.stdout + done.stderr).encode()
    page = swept.folder / "page.html"
    assert swept.leaks(shown + (page.read_bytes() if page.exists() else b"")) == []


def test_a_sweep_goes_on_with_its_true_values(swept: Run) -> None:
    done = lit_hydra("resume", "sweep", cwd=swept.folder, check=False, env={**OFFLINE, **ENVIRONMENT})
    assert "1 jobs completed, 2 begun" in done.stderr and f"db.user_token={REDACTED}" in done.stderr
    told = json.loads((swept.folder / "sweep" / "1" / "job.json").read_text())
    assert len(told["attempts"]) == 2
    log = (swept.folder / "sweep" / "1" / "job.log").read_text()
    assert USER_TOKEN in log  # the job had it, and the app has printed it


def test_a_folder_that_was_copied_without_its_private_files_says_what_is_missing(swept: Run, tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    (sweep / ".sweep").mkdir(parents=True)
    (sweep / ".sweep" / "sweep.json").write_bytes((swept.folder / "sweep" / ".sweep" / "sweep.json").read_bytes())
    done = lit_hydra("resume", "sweep", cwd=tmp_path, check=False)
    assert done.returncode == 2 and ".sweep.private.json" in done.stderr and "secrets were taken out" in done.stderr


def test_a_record_without_its_secrets_is_run_again_when_they_are_given(swept: Run) -> None:
    refused = lit_hydra("rerun", "sweep/0/last.ckpt", cwd=swept.folder, check=False, env=OFFLINE)
    assert refused.returncode == 2 and "db.user_token" in refused.stderr and "db.user_token=" in refused.stderr
