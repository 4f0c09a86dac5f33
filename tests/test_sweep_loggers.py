"""Which sweep a job is of, as W&B's files, MLflow's client and TensorBoard's HParams backend give it back.

One sweep by lit_local has jobs that run at the same time. Hydra's basic launcher runs one job for each case in a single
process, under the other name of Lightning.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lit_hydra_bridge import read_record
from lit_hydra_bridge.record.group_tensorboard import read_overrides
from tests.support import App
from tests.test_loggers import OFFLINE, read_hparams, wandb_records

# --- reading back -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """A row of the HParams tab."""

    run: str
    status: str
    hparams: dict[str, Any]
    metrics: dict[str, float]


def hparams_tab(logdir: Path) -> dict[str, Row]:
    """Return what TensorBoard's own HParams plugin shows of a folder, by the run's name."""
    from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
    from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
    from tensorboard.context import RequestContext
    from tensorboard.plugins.base_plugin import TBContext
    from tensorboard.plugins.hparams import api_pb2, get_experiment, list_session_groups
    from tensorboard.plugins.hparams.backend_context import Context

    multiplexer = EventMultiplexer().AddRunsFromDirectory(str(logdir)).Reload()
    provider = MultiplexerDataProvider(multiplexer, str(logdir))
    backend = Context(TBContext(logdir=str(logdir), multiplexer=multiplexer, data_provider=provider))
    columns = get_experiment.Handler(RequestContext(), backend, "", api_pb2.GetExperimentRequest()).run()
    shown = {info.name for info in columns.hparam_infos}
    request = api_pb2.ListSessionGroupsRequest(
        slice_size=1000, allowed_statuses=[number for _, number in api_pb2.Status.items()]
    )
    rows = {}
    for group in list_session_groups.Handler(RequestContext(), backend, "", request).run().session_groups:
        (session,) = group.sessions
        values = {key: getattr(value, str(value.WhichOneof("kind"))) for key, value in group.hparams.items()}
        rows[session.name] = Row(
            run=session.name,
            status=api_pb2.Status.Name(session.status),
            hparams={key: value for key, value in values.items() if key in shown},
            metrics={value.name.tag: value.value for value in group.metric_values},
        )
    return rows


def wandb_facts(path: Path) -> tuple[str, str, list[str]]:
    """Return group, job type and tags of an offline run's file, as they are in the end."""
    runs = [record.run for record in wandb_records(path) if record.HasField("run")]
    return runs[-1].run_group, runs[-1].job_type, list(runs[-1].tags)


def mlflow_runs(store: Path) -> list[Any]:
    """Return all runs of a store, as MLflow's own client gives them."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{store}")
    experiments = [found.experiment_id for found in client.search_experiments()]
    return list(client.search_runs(experiments))


# --- jobs that run at the same time, by lit_local ---------------------------------------------------------

LOCAL = """
    from hydra.core.hydra_config import HydraConfig
    out = HydraConfig.get().runtime.output_dir

    class AtOnce(pl.Callback):
        def setup(self, trainer, module, stage):
            gate = Path(cfg.gate)
            (gate / str(HydraConfig.get().job.num)).touch()
            deadline = time.monotonic() + 60
            while len(list(gate.iterdir())) < 3 and time.monotonic() < deadline:
                time.sleep(0.002)

    loggers = [
        pl.loggers.TensorBoardLogger(out, name="tensorboard", version=""),
        pl.loggers.WandbLogger(save_dir=out, project="tests", offline=True),
        pl.loggers.MLFlowLogger("tests", tracking_uri=cfg.store),
    ]
    t = trainer(logger=loggers, max_epochs=2, callbacks=[AtOnce()], default_root_dir=out, enable_checkpointing=False)
    t.fit(Net(lr=cfg.model.lr, width=3), data(), data())
    first_try = Path(out, "first_try")
    if cfg.model.lr == 0.3 and not first_try.exists():
        first_try.touch()
        raise RuntimeError("on purpose")
    t.test(t.lightning_module, data(), verbose=False)
    t.save_checkpoint(out + "/last.ckpt")
    return float(t.callback_metrics["test_loss"])
"""
IMPORTS = "import time\nimport mlflow\nimport wandb\nimport torch.utils.tensorboard"


@dataclass(frozen=True)
class Swept:
    """A sweep that has ended."""

    folder: Path
    store: Path
    said: str

    @property
    def id(self) -> str:
        """What sweep.json says."""
        return str(json.loads((self.folder / ".sweep/sweep.json").read_text())["id"])

    @property
    def group(self) -> str:
        """How loggers name it."""
        return f"{self.folder.name}-{self.id[:8]}"


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Swept:
    """Three jobs that come to their loggers at the same moment; one of them needs a second attempt."""
    app = App.create(tmp_path_factory.mktemp("local") / "app")
    gate, store, sweep = app.folder / "gate", app.folder / "mlflow.db", app.folder / "swept"
    gate.mkdir()
    make_store(store)
    app.add_to_config({"gate": str(gate), "store": f"sqlite:///{store}"})
    app.script(LOCAL, IMPORTS)
    command = ["-m", "hydra/launcher=lit_local", "hydra.launcher.n_jobs=3", "hydra.launcher.max_retries=1"]
    said = app.run(*command, f"hydra.sweep.dir={sweep}", "model.lr=0.1,0.2,0.3", "+db.password=hunter2", env=OFFLINE)
    return Swept(sweep, store, said.stdout + said.stderr)


def make_store(store: Path) -> None:
    """Prepare a store as a server would: MLflow itself can't be started twice at once on an empty one."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{store}")
    client.create_experiment("tests", artifact_location=str(store.with_suffix(".artifacts")))


def test_local_all_is_quiet(local: Swept) -> None:
    assert "lit-hydra-bridge:" not in local.said and "Traceback" not in local.said
    logs = [path.read_text() for path in local.folder.glob("*/job.log")]
    assert len(logs) == 3 and not any("lit-hydra-bridge:" in log for log in logs)


def test_local_wandb_has_group_job_type_and_tags(local: Swept) -> None:
    for number in range(3):
        paths = list((local.folder / str(number)).glob("wandb/offline-run-*/*.wandb"))
        assert len(paths) == (2 if number == 2 else 1)
        for path in paths:
            assert wandb_facts(path) == (local.group, "train", [f"sweep:{local.id}", f"job:{number}"])


def test_local_mlflow_has_one_parent_however_many_jobs_start_at_once(local: Swept) -> None:
    runs = mlflow_runs(local.store)
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert parent.info.run_name == local.group
    assert parent.info.status == "FINISHED" and parent.info.end_time
    assert parent.data.tags["lit_hydra_bridge.sweep"] == local.id
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    facts = sorted((run.data.tags["lit_hydra_bridge.job"], run.data.params["hydra/job_num"]) for run in children)
    assert facts == [("0", "0"), ("1", "1"), ("2", "2"), ("2", "2")]
    assert {run.data.tags["lit_hydra_bridge.sweep"] for run in children} == {local.id}
    assert {run.data.tags["lit_hydra_bridge.group"] for run in children} == {local.group}


def test_local_the_hparams_tab_is_the_sweep(local: Swept) -> None:
    rows = hparams_tab(local.folder)
    assert sorted(rows) == [f"{number}/tensorboard" for number in range(3)]
    for number in range(3):
        row = rows[f"{number}/tensorboard"]
        assert row.status == "STATUS_SUCCESS"
        lr = pytest.approx((number + 1) / 10)
        ours = {"hydra/sweep": local.group, "hydra/job_num": number, "model.lr": lr, "db.password": "<redacted>"}
        assert row.hparams == {**ours, "lr": lr, "width": 3}
        metrics = json.loads((local.folder / str(number) / "job.json").read_text())["metrics"]
        assert row.metrics["test_loss"] == pytest.approx(metrics["test_loss"])
        recorded = read_record(local.folder / str(number) / "last.ckpt").metrics
        assert row.metrics.items() >= {key: pytest.approx(value) for key, value in recorded.items()}.items()
        assert {"loss", "val_loss", "test_loss"} <= row.metrics.keys() and "hp_metric" not in row.metrics


def test_local_the_config_stays_in_tensorboard_where_it_was(local: Swept) -> None:
    found = read_hparams(local.folder / "1/tensorboard/hparams.yaml")
    assert found["model"] == {"lr": 0.2, "decay": 0.2} and found["hydra"]["job_num"] == 1 and found["lr"] == 0.2


# --- the app's own ways, each a job of Hydra's basic launcher ---------------------------------------------

PRELUDE = '''
import json
import threading
import time
import warnings
import mlflow
import wandb
from hydra.core.hydra_config import HydraConfig
from net import Net, data, trainer, pl
from lit_hydra_bridge import RunRecorder
from lit_hydra_bridge.record import group_mlflow

LOGGERS = pl.loggers


class Bare(Net):
    """Saves no hyperparameters."""

    def __init__(self):
        pl.LightningModule.__init__(self)
        self.layer = torch.nn.Linear(4, 2)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Fails(Bare):
    def on_train_epoch_end(self):
        raise RuntimeError("on purpose")


class WithMetrics(Net):
    def on_train_start(self):
        self.logger.log_hyperparams({"own": 1}, {"hp/score": 0.25})


def fit(logger, model=None, **settings):
    made = trainer(**{"logger": logger, "enable_checkpointing": False, "limit_val_batches": 1, **settings})
    made.fit(model or Net(), data(), data())
    return made


def tensorboard(folder="tb", **options):
    return LOGGERS.TensorBoardLogger(folder, name=case, version="", **options)


def wandb_logger(**options):
    wandb.finish()
    return LOGGERS.WandbLogger(save_dir=".", version=case, project="tests", offline=True, **options)


def mlflow_logger(name="tests", uri="sqlite:///mlflow.db", **options):
    return LOGGERS.MLFlowLogger(name, run_name=case, tracking_uri=uri, **options)


def own_parent():
    client = mlflow.MlflowClient("sqlite:///mlflow.db")
    experiment = client.get_experiment_by_name("tests").experiment_id
    return client.create_run(experiment, tags={"mlflow.runName": "the app's own"}).info.run_id


def active_run():
    wandb.finish()
    return wandb.init(id=case, project="tests", mode="offline", tags=["mine"], dir=".")


def logged_before_the_fit():
    """As templates do: between the Trainer and its fit."""
    logger = [tensorboard(default_hp_metric=False), wandb_logger()]
    made = trainer(logger=logger, enable_checkpointing=False)
    for one in logger:
        one.log_hyperparams({"model": {"lr": 0.5}, "params": 10})
    made.fit(Bare(), data(), data())


def server_gone():
    logger = mlflow_logger()

    class Gone(Bare):
        def prepare_data(self):
            logger._mlflow_client.delete_run(logger.run_id)

    fit(logger, Gone(), log_every_n_steps=10, limit_val_batches=0)


def no_answer():
    """The server hangs once the run is there; what Lightning itself asks, in the main thread, is answered."""
    logger = mlflow_logger()
    get_run = logger.experiment.get_run
    is_main = lambda: threading.current_thread() is threading.main_thread()
    logger.experiment.get_run = lambda run: get_run(run) if is_main() else time.sleep(3600)
    before, group_mlflow._TIME_LIMIT_S = group_mlflow._TIME_LIMIT_S, 0.3
    try:
        fit(logger, Bare())
    finally:
        group_mlflow._TIME_LIMIT_S = before


def switched_off():
    os.environ["LIT_HYDRA_BRIDGE_GROUPS"] = "off"
    fit([tensorboard("tb_off"), wandb_logger(), mlflow_logger()], Bare())


def no_folder():
    """A file stands where ours would be."""
    ours = Path(HydraConfig.get().sweep.dir, ".sweep")
    aside = ours.with_name("aside")
    ours.rename(aside)
    ours.touch()
    try:
        fit(mlflow_logger(), Bare())
    finally:
        ours.unlink()
        aside.rename(ours)


def forgotten_parent():
    """The file that names the parent is lost, and MLflow is asked."""
    Path(HydraConfig.get().sweep.dir, ".sweep/mlflow.json").unlink()
    fit(mlflow_logger(), Bare())


def deleted_parent():
    fit(mlflow_logger("others"), Bare())
    client = mlflow.MlflowClient("sqlite:///mlflow.db")
    experiment = client.get_experiment_by_name("others").experiment_id
    (parent,) = client.search_runs([experiment], "tags.`lit_hydra_bridge.job` = 'all'")
    client.delete_run(parent.info.run_id)
    fit(mlflow_logger("others"), Bare())


CASES = {
    "plain": lambda: fit([tensorboard(), wandb_logger(), mlflow_logger()]),
    "bare": lambda: fit(tensorboard(default_hp_metric=False), Bare()),
    "metrics": lambda: fit(tensorboard("tb_metrics", default_hp_metric=False), WithMetrics()),
    "before": logged_before_the_fit,
    "fails": lambda: fit([tensorboard(), mlflow_logger()], Fails()),
    "twice": lambda: [fit(logger := tensorboard()), fit(logger)],
    "own_group": lambda: fit(wandb_logger(group="mine", job_type="theirs", tags=["a", "job:own"]), Bare()),
    "own_settings": lambda: fit(wandb_logger(settings=wandb.Settings(run_group="set", run_tags=("b",))), Bare()),
    "own_variables": lambda: fit(wandb_logger(), Bare()),
    "active_run": lambda: [active_run(), fit(LOGGERS.WandbLogger(), Bare())],
    "own_parent": lambda: fit(mlflow_logger(tags={"mlflow.parentRunId": own_parent()}), Bare()),
    "own_store": lambda: fit(mlflow_logger(uri=f"sqlite:///{HydraConfig.get().runtime.output_dir}/own.db"), Bare()),
    "server_gone": server_gone,
    "no_answer": no_answer,
    "no_folder": no_folder,
    "forgotten_parent": forgotten_parent,
    "deleted_parent": deleted_parent,
    "recorder_off": lambda: fit(
        [tensorboard("tb_off"), wandb_logger()], Bare(), callbacks=[RunRecorder(groups=False)]
    ),
    "loggers_off": lambda: fit(
        [tensorboard("tb_off"), wandb_logger()], Bare(), callbacks=[RunRecorder(loggers=False)]
    ),
    "switched_off": switched_off,
    "groups_only": lambda: fit(
        [tensorboard(), wandb_logger()], Bare(), callbacks=[RunRecorder(loggers=False, groups=True)]
    ),
}
'''
BODY = """
    global case
    case = cfg.case
    variables = {"WANDB_RUN_GROUP": "env", "WANDB_JOB_TYPE": "env_type", "WANDB_TAGS": "c,d"}
    if case == "own_variables":
        wandb.finish()
        wandb.teardown()  # else they are read once in a process
        os.environ.update(variables)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            CASES[case]()
        except Exception as error:
            if case not in ("fails", "server_gone"):
                raise
        finally:
            wandb.finish()
            if case == "own_variables":
                wandb.teardown()
            for name in (*variables, "LIT_HYDRA_BRIDGE_GROUPS"):
                os.environ.pop(name, None)
    ours = [str(one.message) for one in seen if one.category.__name__ == "BridgeWarning"]
    Path("said_" + case + ".json").write_text(json.dumps(ours))
"""
CASES = [
    "plain", "bare", "metrics", "before", "fails", "twice", "own_group", "own_settings", "own_variables", "active_run",
    "own_parent", "own_store", "server_gone", "no_answer", "no_folder", "forgotten_parent", "deleted_parent",
    "recorder_off", "loggers_off", "switched_off", "groups_only",
]  # fmt: skip


NOT_QUIET = ("server_gone", "no_answer", "no_folder")


@dataclass(frozen=True)
class Cases:
    """The cases that one process has run, and the app's folder."""

    folder: Path

    def said(self, case: str) -> list[str]:
        """Our warnings."""
        return list(json.loads((self.folder / f"said_{case}.json").read_text()))

    def wandb(self, case: str) -> tuple[str, str, list[str]]:
        """Group, job type and tags of a case's run."""
        (path,) = self.folder.glob(f"wandb/offline-run-*-{case}/*.wandb")
        return wandb_facts(path)

    def mlflow(self) -> list[Any]:
        """All runs of the store that the cases share."""
        return mlflow_runs(self.folder / "mlflow.db")


def case_app(folder: Path) -> App:
    """An app whose jobs are cases."""
    app = App.create(folder / "app", "pytorch_lightning")
    app.add_to_config({"case": "plain"})
    app.script(BODY, PRELUDE)
    make_store(app.folder / "mlflow.db")
    return app


@pytest.fixture(scope="module")
def basic(tmp_path_factory: pytest.TempPathFactory) -> Cases:
    """All cases."""
    app = case_app(tmp_path_factory.mktemp("basic"))
    app.run("-m", f"case={','.join(CASES)}", "hydra.sweep.dir=multirun/2026-01-31/12-00-00", env=OFFLINE)
    return Cases(app.folder)


@pytest.fixture(scope="module")
def group(basic: Cases) -> str:
    """What the loggers call the sweep."""
    name = basic.wandb("plain")[0]
    assert name.startswith("2026-01-31_12-00-00-") and len(name) == len("2026-01-31_12-00-00-") + 8
    return name


def id_tag(tags: list[str]) -> str:
    """The one tag that names the sweep."""
    (tag,) = [tag for tag in tags if tag.startswith("sweep:")]
    return tag


@pytest.mark.parametrize("case", [case for case in CASES if case not in NOT_QUIET])
def test_basic_all_is_quiet(basic: Cases, case: str) -> None:
    assert basic.said(case) == []


def test_basic_wandb_what_the_app_has_set_stays(basic: Cases, group: str) -> None:
    number = {case: f"job:{i}" for i, case in enumerate(CASES)}
    tag = id_tag(basic.wandb("plain")[2])
    assert tag.removeprefix("sweep:").startswith(group[-8:])
    assert basic.wandb("plain") == (group, "train", [tag, number["plain"]])
    assert basic.wandb("before") == (group, "train", [tag, number["before"]])
    assert basic.wandb("groups_only") == (group, "train", [tag, number["groups_only"]])
    assert basic.wandb("own_group") == ("mine", "theirs", ["a", "job:own", tag, number["own_group"]])
    assert basic.wandb("own_settings") == ("set", "train", ["b", tag, number["own_settings"]])
    assert basic.wandb("own_variables") == ("env", "env_type", ["c", "d", tag, number["own_variables"]])
    assert basic.wandb("active_run") == ("", "", ["mine", tag, number["active_run"]])


def test_basic_mlflow_parents(basic: Cases, group: str) -> None:
    runs = {run.info.run_name: run for run in basic.mlflow() if "lit_hydra_bridge.job" in run.data.tags}
    parents = [run for run in basic.mlflow() if run.data.tags.get("lit_hydra_bridge.job") == "all"]
    by_experiment = {run.info.experiment_id: run for run in parents}
    assert len(parents) == 2 == len(by_experiment)
    for parent in parents:
        assert (parent.info.run_name, parent.info.status) == (group, "FINISHED")
    parent = by_experiment[runs["plain"].info.experiment_id]
    for case in ("plain", "fails", "forgotten_parent"):
        assert runs[case].data.tags["mlflow.parentRunId"] == parent.info.run_id
    again = [run for run in basic.mlflow() if run.info.run_name == "deleted_parent"]
    other = by_experiment[again[0].info.experiment_id].info.run_id
    parents_of_both = {run.data.tags["mlflow.parentRunId"] for run in again}
    assert len(parents_of_both) == 2 and other in parents_of_both and parent.info.run_id not in parents_of_both


def test_basic_mlflow_what_the_app_has_set_stays(basic: Cases) -> None:
    runs = {run.info.run_name: run for run in basic.mlflow()}
    own = runs["own_parent"].data.tags
    assert own["mlflow.parentRunId"] == runs["the app's own"].info.run_id
    assert own["lit_hydra_bridge.job"] == str(CASES.index("own_parent"))
    (alone,) = mlflow_runs(basic.folder / f"multirun/2026-01-31/12-00-00/{CASES.index('own_store')}/own.db")
    assert "mlflow.parentRunId" not in alone.data.tags and "lit_hydra_bridge.sweep" in alone.data.tags


def test_basic_mlflow_what_fails_is_one_warning(basic: Cases) -> None:
    gone = [text for text in basic.said("server_gone") if "as a whole" in text]
    assert len(gone) == 1 and "MLFlowLogger" in gone[0]
    (no_answer,) = basic.said("no_answer")  # nor is the config handed to what does not answer
    assert "as a whole (TimeoutError: MLflow has not answered within 0.3 s)" in no_answer
    (no_folder,) = basic.said("no_folder")
    assert "MLFlowLogger does not show the sweep as a whole (FileExistsError" in no_folder
    (run,) = [run for run in basic.mlflow() if run.info.run_name == "no_folder"]
    assert "lit_hydra_bridge.sweep" in run.data.tags and "mlflow.parentRunId" not in run.data.tags


def test_basic_the_hparams_tab_has_a_row_for_each_job(basic: Cases, group: str) -> None:
    rows = hparams_tab(basic.folder / "tb")
    shown = {case: {k: v for k, v in row.hparams.items() if "hydra/" not in k} for case, row in rows.items()}
    assert {row.hparams["hydra/sweep"] for row in rows.values() if "hydra/sweep" in row.hparams} == {group}
    assert rows["plain"].hparams["hydra/job_num"] == 0
    assert shown["plain"] == {"case": "plain", "lr": 0.1} == {**shown["twice"], "case": "plain"}
    assert shown["bare"] == {"case": "bare"} and shown["groups_only"] == {"case": "groups_only"}
    assert shown["before"] == {"case": "before", "model/lr": 0.5, "params": 10}
    assert {case: row.status for case, row in rows.items() if row.status != "STATUS_SUCCESS"} == {
        "fails": "STATUS_FAILURE"
    }
    assert {"loss", "val_loss"} <= rows["plain"].metrics.keys()


def test_basic_the_apps_own_metrics_are_the_columns(basic: Cases) -> None:
    (row,) = hparams_tab(basic.folder / "tb_metrics").values()
    assert row.metrics == {"hp/score": 0.25}
    assert row.hparams["case"] == "metrics" and row.hparams["own"] == 1


@pytest.mark.parametrize("case", ["recorder_off", "loggers_off", "switched_off"])
def test_basic_switched_off(basic: Cases, case: str) -> None:
    """As in a single run, of which tests/test_loggers.py has more."""
    assert basic.wandb(case) == ("", "", [])
    hparams = hparams_tab(basic.folder / "tb_off" / case)
    assert [row.hparams.get("case") for row in hparams.values()] == ([] if case == "loggers_off" else [case])
    assert not any("hydra/sweep" in row.hparams for row in hparams.values())
    assert case == "loggers_off" or all(row.hparams["model/lr"] == 0.1 for row in hparams.values())


def test_basic_mlflow_switched_off(basic: Cases) -> None:
    (run,) = [run for run in basic.mlflow() if run.info.run_name == "switched_off"]
    assert not [tag for tag in run.data.tags if tag.startswith("lit_hydra_bridge") or tag == "mlflow.parentRunId"]


# --- overrides --------------------------------------------------------------------------------------------

OVERRIDES = {
    "lr=1e-3": ("lr", 0.001),
    "+model.width=64": ("model.width", 64),
    "++flag=true": ("flag", True),
    "model=mlp": ("model", "mlp"),
    "db@source=mysql": ("db@source", "mysql"),
    "~model.decay": ("~model.decay", True),
    "name='a, b'": ("name", "a, b"),
    "layers=[1,2]": ("layers", "[1,2]"),
    "nothing=null": ("nothing", "null"),
    "db.password=<redacted>": ("db.password", "<redacted>"),
    "empty=": ("empty", ""),
    "seed='7'": ("seed", "7"),
}


def test_overrides_as_hyperparameters() -> None:
    assert read_overrides(OVERRIDES) == dict(OVERRIDES.values())
