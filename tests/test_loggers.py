"""The config in real loggers' real files, beside whatever the app logs by itself.

One process per backend runs many fits, each with a logger of its own; the tests read what they have left on disk.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from lit_hydra_bridge import read_record
from tests.support import FLAVOURS, App

CONFIG = r"""
model:
  lr: 0.1
  decay: ${.lr}
  layers: [8, 4]
  nothing: null
  flag: true
seed: 7
text:
  umlaut: "Grüße ☃"
  long300: "LONG300"
  long7000: "LONG7000"
  random: ${random_number:}
  literal: '\${seed}'
  malformed: '\${never closed'
empty:
  list: []
  mapping: {}
parts: [{a: 1}, {a: 2}]
odd:
  "at@key": 1
  "at#key": 2
  "(round)": 3
  "ключ": 4
  "/leading": 5
  "..": 6
  "up/../down": 7
  5: int key
"..first": 8
""".replace("LONG300", "x" * 300).replace("LONG7000", "y" * 7000)

# Models that differ in what they let Lightning log, and `fit`, which notes how each case ended.
PRELUDE = '''
import argparse
import functools
import json
import warnings

import hydra
import torch
from lightning_utilities.core.rank_zero import rank_zero_only
from omegaconf import OmegaConf
from net import Net, data, trainer, pl

OmegaConf.register_new_resolver("random_number", lambda: torch.rand(()).item())
outcomes = {}


class Bare(Net):
    """Saves no hyperparameters."""

    def __init__(self):
        pl.LightningModule.__init__(self)
        self.layer = torch.nn.Linear(4, 2)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Saves(Bare):
    """Saves the hyperparameters that it is given."""

    def __init__(self, hparams, **options):
        super().__init__()
        self.save_hyperparameters(hparams, **options)


class Data(pl.LightningDataModule):
    def __init__(self, batch_size=8, workers=3):
        super().__init__()
        self.save_hyperparameters()

    def train_dataloader(self):
        return data()

    val_dataloader = test_dataloader = train_dataloader


class Unprintable:
    """Its repr has an address, so no two are the same text."""


class case:
    """Runs a block and notes its warnings of ours, and its error if it had one."""

    def __init__(self, name):
        self.name = name

    def __enter__(self):
        self.caught = warnings.catch_warnings(record=True)
        self.seen = self.caught.__enter__()
        warnings.simplefilter("always")

    def __exit__(self, kind, error, traceback):
        self.caught.__exit__(None, None, None)
        ours = [str(one.message) for one in self.seen if one.category.__name__ == "BridgeWarning"]
        outcomes[self.name] = {"error": None if error is None else repr(error), "warnings": ours}
        Path("outcomes.json").write_text(json.dumps(outcomes))
        return True


def fit(model, *loggers, trainer_settings=None, **arguments):
    settings = dict(logger=list(loggers), enable_checkpointing=False, limit_train_batches=1, limit_val_batches=1)
    made = trainer(**{**settings, **(trainer_settings or {})})
    if "datamodule" not in arguments:
        arguments |= {"train_dataloaders": data(), "val_dataloaders": data()}
    made.fit(model, **arguments)
    return made
'''

# The cases that every backend must stand; `new(name)` makes a logger.
COMMON_CASES = """
with case("none"):
    fit(Bare(), new("none"))
with case("flat"):
    fit(Saves({"lr": 0.5, "seed": 8}), new("flat"))
with case("nested"):
    fit(Saves({"model": {"lr": 0.5, "extra": 1}}), new("nested"))
with case("scalar"):
    fit(Saves({"model": "mlp"}), new("scalar"))
with case("dictconfig"):
    fit(Saves(OmegaConf.create({"model": {"lr": 0.5, "double": "${.lr}"}, "own": "${model.lr}"})), new("dictconfig"))
with case("objects"):
    objects = {"net": torch.nn.Linear(2, 2), "make": functools.partial(torch.optim.SGD, lr=1), "thing": Unprintable()}
    fit(Saves({**objects, "lr": 0.5}), new("objects"))
with case("namespace"):
    fit(Saves(argparse.Namespace(lr=0.5, seed=8)), new("namespace"))
with case("datamodule"):
    fit(Saves({"lr": 0.5}), new("datamodule"), datamodule=Data())
with case("before"):
    logger = new("before")
    logger.log_hyperparams({"model": {"lr": 0.5}, "params": 10})
    fit(Bare(), logger)
with case("replaced"):
    logger = new("replaced")
    calls = []
    logger.log_hyperparams = lambda *args, **kwargs: calls.append((args, kwargs))
    fit(Saves({"lr": 0.5}), logger)
    assert calls == [(({"lr": 0.5},), {})], calls
with case("overridden"):
    class Own(type(new("unused"))):
        calls = []

        def log_hyperparams(self, params, *args, **kwargs):
            self.calls.append(dict(params))

    logger = new("overridden", Own)
    fit(Bare(), logger)
    assert logger.calls == [], logger.calls
with case("raising"):
    class Raising(type(new("unused"))):
        def log_hyperparams(self, params, *args, **kwargs):
            raise RuntimeError("no hyperparameters here")

    fit(Bare(), new("raising", Raising))
with case("again"):
    logger = new("again")
    model = Saves({"lr": 0.5, "seed": 8})
    fit(model, logger)
    fit(model, logger)
with case("validate_first"):
    logger = new("validate_first")
    made = trainer(logger=logger, enable_checkpointing=False, limit_val_batches=1)
    made.validate(Saves({"lr": 0.5}), data(), verbose=False)
    made.fit(Bare(), data(), data())
with case("dev_run"):
    fit(Bare(), new("dev_run"), trainer_settings={"fast_dev_run": True})
with case("no_epochs"):
    fit(Bare(), new("no_epochs"), trainer_settings={"max_epochs": 0})
"""
COMMON = [
    "none",
    "flat",
    "nested",
    "scalar",
    "dictconfig",
    "objects",
    "namespace",
    "datamodule",
    "before",
    "replaced",
    "overridden",
    "raising",
    "again",
    "validate_first",
    "dev_run",
    "no_epochs",
]


@dataclass(frozen=True)
class Done:
    """A process that has run the cases of one backend."""

    folder: Path

    def outcome(self, case: str) -> dict[str, Any]:
        """How a case ended."""
        return dict(json.loads((self.folder / "outcomes.json").read_text())[case])


def run_cases(folder: Path, new: str, cases: str = COMMON_CASES, flavour: str = "lightning.pytorch") -> Done:
    """Run cases in an app; `new` is the source of `new(name, cls=…)`."""
    app = App.create(folder / "app", flavour, CONFIG)
    app.script(f"{new}\n{cases}", PRELUDE)
    app.run("hydra.run.dir=out", "+wide={" + ",".join(f"k{i}:{i}" for i in range(150)) + "}", env=OFFLINE)
    return Done(app.folder)


OFFLINE = {
    "WANDB_MODE": "offline",
    "WANDB_SILENT": "true",
    "WANDB_ERROR_REPORTING": "false",
    "WANDB_DISABLE_CODE": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
}


def check_whole_config(found: Mapping[str, Any]) -> None:
    """Check nested values that a backend gave back."""
    assert found["text"]["umlaut"] == "Grüße ☃"
    assert found["text"]["long7000"] == "y" * 7000
    assert found["text"]["random"] == "${random_number:}"
    assert found["parts"] == [{"a": 1}, {"a": 2}]
    assert found["empty"] == {"list": [], "mapping": {}}
    assert found["odd"]["5"] == "int key"
    assert found["wide"]["k149"] == 149
    assert found["model"]["nothing"] is None
    assert found["hydra"]["job_name"] == "train"
    assert Path(found["hydra"]["output_dir"]).name == "out"
    assert found["hydra"]["overrides"][0].startswith("+wide=")


class _PlainLoader(yaml.SafeLoader):
    """Reads the app's objects as None, wherever they were defined."""


_PlainLoader.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)


def read_hparams(path: Path) -> dict[str, Any]:
    """Read a `hparams.yaml`."""
    return dict(yaml.load(path.read_text(encoding="utf-8"), _PlainLoader))  # type: ignore[arg-type]


# --- CSV --------------------------------------------------------------------------------------------------

NEW_CSV = """
def new(name, cls=pl.loggers.CSVLogger):
    return cls("logs", name=name, version="v")
"""
CSV_CASES = """
with case("later"):
    class Later(Saves):
        def on_train_start(self):
            self.logger.log_hyperparams({"seed": 9})

    fit(Later({"lr": 0.5}), new("later"))
"""


@pytest.fixture(scope="module", params=FLAVOURS)
def csv(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """The cases with CSVLogger, under both of Lightning's names."""
    return run_cases(tmp_path_factory.mktemp("csv"), NEW_CSV, COMMON_CASES + CSV_CASES, request.param)


def csv_hparams(done: Done, case: str) -> dict[str, Any]:
    """What a CSVLogger has written."""
    return read_hparams(done.folder / "logs" / case / "v/hparams.yaml")


@pytest.mark.parametrize("case", [*COMMON, "later"])
def test_csv_training_goes_on_in_silence(csv: Done, case: str) -> None:
    assert csv.outcome(case) == {"error": None, "warnings": []}


@pytest.mark.parametrize("case", [name for name in [*COMMON, "later"] if name != "dev_run"])
def test_csv_has_the_whole_config(csv: Done, case: str) -> None:
    found = csv_hparams(csv, case)
    if not isinstance(found["model"], dict):
        found["model"] = {"nothing": None}
    check_whole_config(found)
    assert found["text"]["literal"] == "${seed}"
    assert found["text"]["malformed"] in ("${never closed", r"\${never closed")


def test_csv_the_app_wins(csv: Done) -> None:
    model = {"lr": 0.1, "decay": 0.1, "layers": [8, 4], "nothing": None, "flag": True}
    assert csv_hparams(csv, "none")["model"] == model
    flat = csv_hparams(csv, "flat")
    assert (flat["lr"], flat["seed"], flat["model"]) == (0.5, 8, model)
    assert csv_hparams(csv, "nested")["model"] == {**model, "lr": 0.5, "extra": 1}
    assert csv_hparams(csv, "scalar")["model"] == "mlp"
    dictconfig = csv_hparams(csv, "dictconfig")
    assert dictconfig["own"] == 0.5
    assert dictconfig["model"] == {**model, "lr": 0.5, "double": 0.5}
    objects = csv_hparams(csv, "objects")
    assert objects["lr"] == 0.5 and "make" in objects
    assert csv_hparams(csv, "namespace")["seed"] == 8
    assert csv_hparams(csv, "datamodule")["workers"] == 3
    before = csv_hparams(csv, "before")
    assert before["model"] == {**model, "lr": 0.5} and before["params"] == 10
    assert "lr" not in csv_hparams(csv, "replaced")
    assert csv_hparams(csv, "validate_first")["lr"] == 0.5
    assert csv_hparams(csv, "later")["seed"] == 9


def test_csv_fast_dev_run_writes_nothing(csv: Done) -> None:
    assert not (csv.folder / "logs/dev_run").exists()


# --- TensorBoard ------------------------------------------------------------------------------------------

NEW_TENSORBOARD = """
def new(name, cls=pl.loggers.TensorBoardLogger, **options):
    return cls("logs", name=name, version="v", **options)
"""
TENSORBOARD_CASES = '''
class Metrics(Saves):
    """Logs its hyperparameters by hand, with metrics, as Lightning's documentation shows it."""

    def on_train_start(self):
        self.logger.log_hyperparams(self.hparams, {"hp/score": 0.25})

with case("metrics"):
    fit(Metrics({"lr": 0.5, "model": {"lr": 0.6}}), new("metrics", default_hp_metric=False))
with case("no_metrics"):
    fit(Saves({"lr": 0.5}), new("no_metrics", default_hp_metric=False))
with case("dictconfig_by_hand"):
    logger = new("dictconfig_by_hand")
    class ByHand(Bare):
        def setup(self, stage):
            own = OmegaConf.create({"model": {"lr": 0.5}, "own": "${model.lr}", "seed": "${own}"})
            self.logger.log_hyperparams(own)

    fit(ByHand(), logger)
with case("two_trainers"):
    logger = new("two_trainers")
    fit(Bare(), logger)
    fit(Bare(), logger)
'''


@pytest.fixture(scope="module", params=FLAVOURS)
def tensorboard(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """The cases with TensorBoardLogger, under both of Lightning's names."""
    cases = COMMON_CASES + TENSORBOARD_CASES
    return run_cases(tmp_path_factory.mktemp("tensorboard"), NEW_TENSORBOARD, cases, request.param)


IN_TENSORBOARD = [*COMMON, "metrics", "no_metrics", "dictconfig_by_hand", "two_trainers"]


def summaries(done: Done, case: str) -> dict[str, list[bytes]]:
    """The contents of all summaries of hyperparameters of a run, in the order of writing."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    found: dict[str, list[bytes]] = {}
    for path in sorted((done.folder / "logs" / case / "v").glob("events.out.*")):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name == "hparams":
                    found.setdefault(value.tag, []).append(value.metadata.plugin_data.content)
    return found


def shown(done: Done, case: str) -> dict[str, Any]:
    """The hyperparameters that TensorBoard shows: those of the first summary."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    events = EventAccumulator(str(done.folder / "logs" / case / "v")).Reload()
    metadata = events.SummaryMetadata("_hparams_/session_start_info")
    hparams = HParamsPluginData.FromString(metadata.plugin_data.content).session_start_info.hparams
    return {key: getattr(value, str(value.WhichOneof("kind"))) for key, value in hparams.items()}


@pytest.mark.parametrize("case", IN_TENSORBOARD)
def test_tensorboard_training_goes_on_in_silence(tensorboard: Done, case: str) -> None:
    assert tensorboard.outcome(case) == {"error": None, "warnings": []}


@pytest.mark.parametrize(
    "case", [name for name in IN_TENSORBOARD if name not in ("dev_run", "no_metrics", "before", "no_epochs")]
)
def test_tensorboard_shows_the_whole_config(tensorboard: Done, case: str) -> None:
    found = shown(tensorboard, case)
    assert found["text/umlaut"] == "Grüße ☃"
    assert found["text/long7000"] == "y" * 7000
    assert found["text/random"] == "${random_number:}"
    assert found["text/literal"] == "${seed}"
    assert str(found["text/malformed"]).endswith("${never closed")
    if case != "dictconfig_by_hand":  # Lightning shows a list of omegaconf as one text
        assert found["parts/1/a"] == 2
    assert (found["empty/list"], found["empty/mapping"]) == ("[]", "{}")
    assert found["odd/5"] == "int key"
    assert found["wide/k149"] == 149
    if case != "scalar":
        assert found["model/nothing"] == "None"
        assert found["model/flag"] == 1.0
    assert found["hydra/job_name"] == "train"
    assert "+wide=" in found["hydra/overrides"]
    assert str(found["hydra/output_dir"]).endswith("out")


def test_tensorboard_shows_the_apps_own_values(tensorboard: Done) -> None:
    def values(case: str, *keys: str) -> list[Any]:
        found = shown(tensorboard, case)
        return [found.get(key) for key in keys]

    assert values("none", "lr", "model/lr", "seed") == [None, 0.1, 7]
    assert values("flat", "lr", "model/lr", "seed") == [0.5, 0.1, 8]
    assert values("nested", "model/lr", "model/extra", "model/decay") == [0.5, 1, 0.1]
    assert values("scalar", "model") == ["mlp"]
    assert values("dictconfig", "model/lr", "model/double", "model/decay", "own") == [0.5, 0.5, 0.1, 0.5]
    assert values("dictconfig_by_hand", "model/lr", "model/decay", "own", "seed") == [0.5, 0.1, 0.5, 0.5]
    assert values("objects", "lr", "net")[0] == 0.5 and "Linear" in str(values("objects", "net")[0])
    assert values("namespace", "lr", "seed") == [0.5, 8]
    assert values("datamodule", "lr", "workers") == [0.5, 3]
    assert values("validate_first", "lr") == [0.5]
    assert values("metrics", "lr", "model/lr", "model/decay") == [0.5, 0.6, 0.1]


def test_tensorboard_metrics_of_the_app_are_shown(tensorboard: Done) -> None:
    assert any(b"hp/score" in content for content in summaries(tensorboard, "metrics")["_hparams_/experiment"][:1])


@pytest.mark.parametrize(
    ("case", "count"), [("none", 1), ("flat", 1), ("replaced", 1), ("again", 2), ("two_trainers", 1), ("metrics", 1)]
)
def test_tensorboard_has_no_summary_more_than_without_us(tensorboard: Done, case: str, count: int) -> None:
    """Lightning writes one at each fit, where the app saved hyperparameters; ours is part of it, or the only one."""
    assert len(summaries(tensorboard, case)["_hparams_/session_start_info"]) == count


def test_tensorboard_without_metrics_stays_without_summary(tensorboard: Done) -> None:
    assert summaries(tensorboard, "no_metrics") == {}


@pytest.mark.parametrize("case", [name for name in IN_TENSORBOARD if name != "dev_run"])
def test_tensorboard_keeps_the_config_as_text_and_yaml(tensorboard: Done, case: str) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = tensorboard.folder / "logs" / case / "v"
    events = EventAccumulator(str(folder)).Reload()
    (text,) = [tag for tag in events.Tags()["tensors"] if "hydra/config" in tag]
    (event,) = events.Tensors(text)
    assert "decay: ${.lr}" in event.tensor_proto.string_val[0].decode()
    found = read_hparams(folder / "hparams.yaml")
    if not isinstance(found["model"], dict):
        found["model"] = {"nothing": None}
    found["empty"] = {"list": [], "mapping": {}}  # as text where they came with the first summary
    check_whole_config(found)


def test_tensorboard_where_the_app_logs_first(tensorboard: Done) -> None:
    """Its own summary is the first, and stays the only one."""
    assert shown(tensorboard, "before") == {"model/lr": 0.5, "params": 10}
    assert len(summaries(tensorboard, "before")["_hparams_/session_start_info"]) == 1


# --- Weights & Biases, offline ----------------------------------------------------------------------------

NEW_WANDB = """
import wandb

def new(name, cls=pl.loggers.WandbLogger):
    wandb.finish()  # WandbLogger takes a run that goes on for its own
    return cls(name=name, version=name, save_dir=".", project="tests", offline=True)
"""
WANDB_CASES = """
with case("shared_run"):
    wandb.finish()
    wandb.init(id="shared_run", project="tests", config={"seed": 10, "model": {"lr": 0.7}})
    fit(Bare(), pl.loggers.WandbLogger())
with case("many"):
    logger = new("many")
    logger.experiment.config.update({f"own{i}": i for i in range(2000)})
    fit(Bare(), logger)
wandb.finish()
"""


@pytest.fixture(scope="module")
def wandb(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """The cases with WandbLogger."""
    return run_cases(tmp_path_factory.mktemp("wandb"), NEW_WANDB, COMMON_CASES + WANDB_CASES)


def wandb_records(path: Path) -> Iterator[Any]:
    """The records of an offline run's `.wandb` file: a LevelDB log of protocol buffers."""
    from wandb.proto import wandb_internal_pb2

    data, at, record = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        rest_of_block = 32768 - at % 32768
        if rest_of_block < 7:
            at += rest_of_block
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        record += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            yield wandb_internal_pb2.Record.FromString(record)
            record = b""


def wandb_run(done: Done, case: str) -> tuple[dict[str, Any], list[str]]:
    """The config of an offline run as it is in the end, and the names of its files."""
    (path,) = (done.folder / "wandb").glob(f"offline-run-*-{case}/run-{case}.wandb")
    config: dict[str, Any] = {}
    files: list[str] = []
    for record in wandb_records(path):
        for update in (*record.run.config.update, *record.config.update):
            config[update.key] = json.loads(update.value_json)
        files += [file.path for file in record.files.files]
    return config, files


@pytest.mark.parametrize("case", [*COMMON, "shared_run", "many"])
def test_wandb_training_goes_on_in_silence(wandb: Done, case: str) -> None:
    assert wandb.outcome(case) == {"error": None, "warnings": []}


@pytest.mark.parametrize("case", [name for name in [*COMMON, "shared_run", "many"] if name != "dev_run"])
def test_wandb_has_the_whole_config(wandb: Done, case: str) -> None:
    found, files = wandb_run(wandb, case)
    if not isinstance(found["model"], dict):
        found["model"] = {"nothing": None}
    check_whole_config(found)
    assert found["text"]["malformed"] == "${never closed"
    assert "hydra/config.yaml" in files
    (text,) = (wandb.folder / "wandb").glob(f"offline-run-*-{case}/files/hydra/config.yaml")
    assert "decay: ${.lr}" in text.read_text(encoding="utf-8")


def test_wandb_a_single_run_is_in_no_group(wandb: Done) -> None:
    (path,) = (wandb.folder / "wandb").glob("offline-run-*-none/run-none.wandb")
    runs = [record.run for record in wandb_records(path) if record.HasField("run")]
    assert runs and not any(run.run_group or run.job_type or run.tags for run in runs)


def test_wandb_the_app_wins(wandb: Done) -> None:
    def config(case: str) -> dict[str, Any]:
        return wandb_run(wandb, case)[0]

    model = {"lr": 0.1, "decay": 0.1, "layers": [8, 4], "nothing": None, "flag": True}
    assert config("none")["model"] == model
    assert (config("flat")["lr"], config("flat")["seed"]) == (0.5, 8)
    assert config("nested")["model"] == {**model, "lr": 0.5, "extra": 1}
    assert config("scalar")["model"] == "mlp"
    assert config("objects")["lr"] == 0.5
    assert config("dictconfig")["own"] == 0.5
    assert config("namespace")["seed"] == 8
    assert config("datamodule")["workers"] == 3
    assert config("before")["model"] == {**model, "lr": 0.5} and config("before")["params"] == 10
    assert "lr" not in config("replaced")
    assert config("shared_run")["model"] == {**model, "lr": 0.7} and config("shared_run")["seed"] == 10
    assert config("many")["own1999"] == 1999


# --- MLflow, in a local SQLite store ----------------------------------------------------------------------

NEW_MLFLOW = """
import mlflow
store = {"tracking_uri": "sqlite:///mlflow.db"}

def new(name, cls=pl.loggers.MLFlowLogger):
    return cls("tests", run_name=name, **store, artifact_location=str(Path("artifacts").resolve()))
"""
MLFLOW_CASES = """
with case("later"):
    class Later(Saves):
        def on_train_start(self):
            self.logger.log_hyperparams({"seed": 9, "mine": 1, "text": {"long300": "x" * 300}})

        def on_train_end(self):
            client, run = self.logger.experiment, self.logger.run_id
            client.log_param(run, "model/lr", 0.9)
            client.log_param(run, "parts/0/a", 1)
            with mlflow.start_run(run_id=run):
                mlflow.log_params({"odd/5": "fluent", "fluent": 1})

    fit(Later({"lr": 0.5}), new("later"))
with case("two_trainers"):
    logger = new("two_trainers")
    fit(Saves({"lr": 0.5}), logger)
    fit(Saves({"seed": 11}), logger)
with case("own_conflict"):
    logger = new("own_conflict")
    fit(Saves({"lr": 0.5}), logger)
    fit(Saves({"lr": 0.6}), logger)
with case("continued"):
    run = new("continued").run_id
    fit(Bare(), pl.loggers.MLFlowLogger("tests", run_id=run, **store))
    fit(Bare(), pl.loggers.MLFlowLogger("tests", run_id=run, **store))
with case("asynchronous"):
    logger = pl.loggers.MLFlowLogger("tests", run_name="asynchronous", **store, synchronous=False)
    fit(Saves({"lr": 0.5, "seed": 8}), logger)
    mlflow.flush_async_logging()
with case("file_store"):
    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    class LaterScalar(Saves):
        def on_train_start(self):
            self.logger.log_hyperparams({"model": "mlp", "own": 1})

    fit(Saves({"text": "scalar"}), logger := pl.loggers.MLFlowLogger("tests", save_dir="files"))
    fit(LaterScalar({}), logger)
with case("store_gone"):
    logger = new("store_gone")
    class Gone(Bare):
        def prepare_data(self):
            logger._mlflow_client.delete_run(logger.run_id)

    fit(Gone(), logger, trainer_settings={"log_every_n_steps": 10, "limit_val_batches": 0})
"""


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """The cases with MLFlowLogger."""
    return run_cases(tmp_path_factory.mktemp("mlflow"), NEW_MLFLOW, COMMON_CASES + MLFLOW_CASES)


@pytest.fixture(scope="module")
def mlflow_runs(mlflow: Done) -> dict[str, Any]:
    """All runs of the store, by name."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{mlflow.folder}/mlflow.db")
    experiment = client.get_experiment_by_name("tests")
    assert experiment is not None
    return {str(found.info.run_name): found for found in client.search_runs([experiment.experiment_id])}


IN_MLFLOW = [*COMMON, "later", "two_trainers", "own_conflict", "continued", "asynchronous", "store_gone"]


@pytest.mark.parametrize(
    "case", [name for name in IN_MLFLOW if name not in ("later", "two_trainers", "own_conflict", "store_gone")]
)
def test_mlflow_training_goes_on_in_silence(mlflow: Done, case: str) -> None:
    assert mlflow.outcome(case) == {"error": None, "warnings": []}


@pytest.mark.parametrize("case", [name for name in IN_MLFLOW if name not in ("dev_run", "store_gone")])
def test_mlflow_has_the_whole_config(mlflow_runs: dict[str, Any], case: str) -> None:
    found = mlflow_runs[case].data.params
    assert found["text/umlaut"] == "Grüße ☃"
    assert found["text/long300"] == "x" * 300
    assert len(found["text/long7000"]) == 6000 and found["text/long7000"].endswith("y …[cut]")
    assert found["text/random"] == "${random_number:}"
    assert found["text/malformed"] == "${never closed"
    assert found["parts/1/a"] == "2"
    assert (found["empty/list"], found["empty/mapping"]) == ("[]", "{}")
    assert found["odd/5"] == "int key"
    assert (found["odd/at_key"], found["odd/at_key_2"]) == ("1", "2")
    assert (found["odd/_round_"], found["odd/ключ"], found["odd/leading"]) == ("3", "4", "5")
    assert (found["odd"], found["odd/up/down"], found["_first"]) == ("6", "7", "8")
    assert found["wide/k149"] == "149"
    assert found["model/nothing"] == "None"
    assert found["model/flag"] == "True"
    assert found["hydra/job_name"] == "train"
    assert "+wide=" in found["hydra/overrides"]
    assert found["hydra/output_dir"].endswith("out")


def test_mlflow_a_single_run_has_no_parent(mlflow_runs: dict[str, Any]) -> None:
    tags = mlflow_runs["none"].data.tags
    assert not [tag for tag in tags if tag.startswith("lit_hydra_bridge") or tag == "mlflow.parentRunId"]


def test_mlflow_the_app_wins(mlflow_runs: dict[str, Any]) -> None:
    def values(case: str, *keys: str) -> list[Any]:
        return [mlflow_runs[case].data.params.get(key) for key in keys]

    assert values("none", "lr", "model/lr", "seed") == [None, "0.1", "7"]
    assert values("flat", "lr", "model/lr", "seed") == ["0.5", "0.1", "8"]
    assert values("nested", "model/lr", "model/extra", "model/decay") == ["0.5", "1", "0.1"]
    assert values("scalar", "model") == ["mlp"]
    assert values("dictconfig", "model/lr", "model/double", "model/decay", "own") == ["0.5", "0.5", "0.1", "0.5"]
    assert values("objects", "lr") == ["0.5"] and "Unprintable" in values("objects", "thing")[0]
    assert values("namespace", "lr", "seed") == ["0.5", "8"]
    assert values("datamodule", "lr", "workers") == ["0.5", "3"]
    assert values("before", "model/lr", "model/decay", "params") == ["0.5", "0.1", "10"]
    assert values("replaced", "lr") == [None]
    assert values("asynchronous", "lr", "seed") == ["0.5", "8"]


def test_mlflow_later_values_become_tags(mlflow: Done, mlflow_runs: dict[str, Any]) -> None:
    later = mlflow_runs["later"].data
    assert {key: later.tags.get(key) for key in ("seed", "model/lr", "odd/5", "text/long300", "parts/0/a")} == {
        "seed": "9",
        "model/lr": "0.9",
        "odd/5": "fluent",
        "text/long300": None,
        "parts/0/a": None,
    }
    assert [later.params[key] for key in ("seed", "model/lr", "mine", "fluent")] == ["7", "0.1", "1", "1"]
    outcome = mlflow.outcome("later")
    assert outcome["error"] is None
    assert [warning.split(" parameters ")[1].split(";")[0] for warning in outcome["warnings"]] == [
        "seed",
        "model/lr",
        "odd/5",
    ]
    assert mlflow_runs["two_trainers"].data.tags["seed"] == "11"
    outcome = mlflow.outcome("two_trainers")
    assert outcome["error"] is None and len(outcome["warnings"]) == 1


def test_mlflow_an_error_of_the_apps_own_stays_its_own(mlflow: Done, mlflow_runs: dict[str, Any]) -> None:
    """Two values for a parameter that is none of ours: as without us."""
    assert "Changing param values is not allowed" in mlflow.outcome("own_conflict")["error"]
    assert "lr" not in mlflow_runs["own_conflict"].data.tags


def test_mlflow_refusal_costs_one_warning(mlflow: Done) -> None:
    (warning,) = mlflow.outcome("store_gone")["warnings"]
    assert "MLFlowLogger did not take the config" in warning


def test_mlflow_keeps_the_config_as_artifact(mlflow: Done, mlflow_runs: dict[str, Any]) -> None:
    folder = mlflow.folder / "artifacts" / mlflow_runs["none"].info.run_id
    assert "decay: ${.lr}" in (folder / "artifacts/hydra/config.yaml").read_text(encoding="utf-8")


def test_mlflow_file_store_keeps_files_and_folders_apart(mlflow: Done) -> None:
    """There `model` is a file and `model/lr` a file in a folder: the app's scalars must not meet our mappings."""
    outcome = mlflow.outcome("file_store")
    assert outcome["error"] is None and len(outcome["warnings"]) == 1 and " model;" in outcome["warnings"][0]
    (params,) = (mlflow.folder / "files").glob("*/*/params")
    assert (params / "text").read_text() == "scalar" and (params / "own").read_text() == "1"
    assert (params / "model/lr").read_text() == "0.1"
    assert (params.parent / "tags/model").read_text() == "mlp"


# --- several loggers, several jobs, several processes -----------------------------------------------------

SEVERAL = """
from lightning.pytorch.loggers.logger import Logger

class Refuses(Logger):
    name, version = "refuses", 3

    def log_metrics(self, metrics, step=None):
        pass

    def log_hyperparams(self, params, *args, **kwargs):
        raise RuntimeError("not today")

class Keeps(Refuses):
    def __init__(self):
        super().__init__()
        self.kept = {}

    def log_hyperparams(self, params, *args, **kwargs):
        self.kept.update(params)

import wandb
from hydra.core.hydra_config import HydraConfig
out = HydraConfig.get().runtime.output_dir
keeps = Keeps()
loggers = [
    Refuses(),
    pl.loggers.CSVLogger(out, name="csv"),
    pl.loggers.TensorBoardLogger(out, name="tensorboard", version="tb"),
    pl.loggers.WandbLogger(save_dir=out, project="tests", offline=True),
    pl.loggers.MLFlowLogger("tests", tracking_uri=f"sqlite:///{out}/mlflow.db", artifact_location=out),
    keeps,
]
with case(cfg.seed):
    made = fit(Saves({"model": {"lr": 0.5}}, logger=False), *loggers)
    made.save_checkpoint(Path(out, "last.ckpt"))
wandb.finish()
Path(out, "kept.json").write_text(json.dumps(keeps.kept))
Path(out, "ids.json").write_text(json.dumps([loggers[3].version, loggers[4].run_id]))
"""


def test_several_loggers_in_a_sweep(app: App) -> None:
    app.write("conf/config.yaml", CONFIG)
    app.script(SEVERAL, PRELUDE)
    done = app.run("-m", "seed=1,2", "hydra.sweep.dir=sweep", env=OFFLINE)
    outcomes = json.loads((app.folder / "outcomes.json").read_text())
    for job in (0, 1):
        folder = app.folder / "sweep" / str(job)
        (warning,) = outcomes[str(job + 1)]["warnings"]
        assert warning == "lit-hydra-bridge: Refuses did not take the config (RuntimeError: not today)"
        record = read_record(folder / "last.ckpt")
        wandb_id, mlflow_id = json.loads((folder / "ids.json").read_text())
        assert [(run.kind, run.version, run.run_id) for run in record.loggers] == [
            ("Logger", "3", None),
            ("CSVLogger", "0", None),
            ("TensorBoardLogger", "tb", None),
            ("WandbLogger", wandb_id, wandb_id),
            ("MLFlowLogger", None, mlflow_id),
            ("Logger", "3", None),
        ]
        for found in (
            read_hparams(folder / "csv/version_0/hparams.yaml"),
            read_hparams(folder / "tensorboard/tb/hparams.yaml"),
            wandb_run(Done(folder), wandb_id)[0],
            json.loads((folder / "kept.json").read_text()),
        ):
            assert found["hydra"]["run_id"] == record.run_id
            assert (found["hydra"]["job_num"], found["hydra"]["job_id"]) == (job, str(job))
            assert found["hydra"]["overrides"] == [f"seed={job + 1}"]
            assert (found["seed"], found["model"]["lr"]) == (job + 1, 0.1)
        assert (folder / "mlflow.db").is_file()
    assert "Traceback" not in done.stderr


def test_where_there_is_no_logger_nothing_is_logged(app: App) -> None:
    app.script("trainer(enable_checkpointing=False).fit(Net(), data())")
    done = app.run("hydra.run.dir=out")
    assert "lit-hydra-bridge" not in done.stderr
    assert not list(app.folder.rglob("hparams.yaml"))


def test_a_config_of_two_thousand_keys(app: App) -> None:
    keys = "".join(f"  key{i}: value {i}\n" for i in range(2000))
    app.write("conf/config.yaml", f"model:\n  lr: 0.1\nmany:\n{keys}")
    app.script(
        """
        loggers = [
            pl.loggers.CSVLogger("logs", name="csv", version="v"),
            pl.loggers.TensorBoardLogger("logs", name="tensorboard", version="v"),
        ]
        fit(Saves({"lr": 0.5}), *loggers)
        """,
        PRELUDE,
    )
    app.run("hydra.run.dir=out", env=OFFLINE)
    assert read_hparams(app.folder / "logs/csv/v/hparams.yaml")["many"]["key1999"] == "value 1999"
    assert shown(Done(app.folder), "tensorboard")["many/key1999"] == "value 1999"


def test_a_password_in_a_tracking_uri_stays_out_of_the_record(app: App) -> None:
    app.script(
        """
        from lit_hydra_bridge.record.loggers import logger_runs

        class Loggers:
            loggers = [pl.loggers.MLFlowLogger("tests", tracking_uri="http://user:hunter2@localhost:1/x")]

        print("DIRECTORY", logger_runs(Loggers)[0].directory)
        """
    )
    assert "DIRECTORY http://<redacted>@localhost:1/x" in app.run(env=OFFLINE).stdout


def test_wandb_lets_the_app_change_what_is_there_because_of_us(app: App) -> None:
    """W&B refuses to change a key; the app's own habits must work as if ours had not come first."""
    app.script("""
        from lightning.pytorch.loggers import WandbLogger

        class Writes(Net):
            def on_fit_start(self):
                run = self.logger.experiment
                run.config["seed"] = 99
                run.config.update({"db": OmegaConf.to_container(cfg.db), "model": {"lr": 5}})
                run.config["own"] = 1
                try:
                    run.config["own"] = 2
                except Exception as error:
                    print("still refused", type(error).__name__)

        fitted = trainer(logger=WandbLogger(save_dir=".", offline=True), enable_checkpointing=False)
        fitted.fit(Writes(), data())
        print("lr", fitted.logger.experiment.config["model"]["lr"])
    """)
    out = app.run("+db.password=hunter2XY99", env={"WANDB_MODE": "offline", "WANDB_SILENT": "true"}).stdout
    assert "still refused ConfigError" in out
    assert "lr 5" in out


def test_mlflow_a_resumed_run_takes_changed_values_as_tags(app: App) -> None:
    """Of the config, of the model, and what the app logs once more itself; as `rerun --resume` does it, and by hand."""
    from mlflow import MlflowClient

    app.write(
        "conf/config.yaml",
        """
        {model: {lr: 0.1}, seed: 7, epochs: 1, ckpt_path: null, long: "${repeat:}",
        logger: {_target_: lightning.pytorch.loggers.MLFlowLogger, tracking_uri: "sqlite:///ml.db"}}
        """,
    )
    app.script(
        """
        logger = hydra.utils.instantiate(cfg.logger)
        fitted = trainer(logger=logger, max_epochs=cfg.epochs)
        logger.log_hyperparams({"own": cfg.seed, "same": 1})
        fitted.fit(Net(cfg.model.lr, text=cfg.long), data(), ckpt_path=cfg.ckpt_path)
        fitted.save_checkpoint(f"{cfg.epochs}.ckpt")
        print("RUN", logger.run_id, fitted.current_epoch)
        """,
        prelude="from omegaconf import OmegaConf\nOmegaConf.register_new_resolver('repeat', lambda: 'x' * 7000)\n",
    )
    run_id = app.run().stdout.split("RUN ")[1].split()[0]

    def changed() -> tuple[dict[str, str], dict[str, str]]:
        found = MlflowClient(f"sqlite:///{app.folder}/ml.db").get_run(run_id)
        assert found.info.status == "FINISHED"
        keys = ("lr", "model/lr", "seed", "own", "same", "epochs", "long", "text")
        assert [found.data.params.get(key) for key in keys[:6]] == ["0.1", "0.1", "7", "7", "1", "1"]
        return {key: found.data.tags[key] for key in keys if key in found.data.tags}, found.data.metrics

    app.run("ckpt_path=1.ckpt", f"++logger.run_id={run_id!r}", "epochs=2", "model.lr=0.5", "seed=8")
    tags, metrics = changed()
    assert tags == {"lr": "0.5", "model/lr": "0.5", "seed": "8", "own": "8", "epochs": "2"} and metrics["epoch"] == 1
    app.run("ckpt_path=2.ckpt", f"++logger.run_id={run_id!r}", "epochs=3", "model.lr=0.25")
    assert changed()[0] == {"lr": "0.25", "model/lr": "0.25", "seed": "8", "own": "8", "epochs": "3"}
