"""load_model and read_weights: real runs, read back in a fresh interpreter from another folder."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import pickle
import shutil
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import instantiate

from lit_hydra_bridge import read_record
from lit_hydra_bridge.errors import BridgeError, CheckpointError, CheckpointNotFoundError, ForeignFileError, ModelError
from lit_hydra_bridge.reload.model.load import load_model
from lit_hydra_bridge.reload.weights import Placeholder, load_checkpoint, read_weights
from tests.support import EACH_FLAVOUR, App, run

ROOT = Path(__file__).resolve().parents[1]

# Modules of every kind; each one's output depends on what it was made with.
ZOO = """
import enum
from dataclasses import dataclass, field
from pathlib import Path

import {flavour} as pl
import torch
from torch.utils.data import DataLoader, TensorDataset


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


@dataclass
class Inner:
    depth: int = 2


@dataclass
class Schema:
    lr: float = 0.1
    size: int = 3
    colour: Colour = Colour.BLUE
    inner: Inner = field(default_factory=Inner)


class Base(pl.LightningModule):
    def body(self, size):
        self.layers = torch.nn.Sequential(torch.nn.Linear(4, size), torch.nn.Tanh(), torch.nn.Linear(size, 2))
        self.scale = 1.0

    def forward(self, x):
        return self.layers(x) * self.scale

    def training_step(self, batch, index):
        return self(batch[0]).square().mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Body(torch.nn.Sequential):
    def __init__(self, hidden):
        super().__init__(torch.nn.Linear(4, hidden), torch.nn.Linear(hidden, 2))


class ByNode(Base):
    def __init__(self, network, optimizer, lr, decay, twice, folder):
        super().__init__()
        self.save_hyperparameters(ignore=["network", "optimizer"])
        self.layers, self.scale, self.optimizer = network, twice * decay, optimizer
        assert Path(folder).is_absolute()

    def configure_optimizers(self):
        return self.optimizer(self.parameters())


class Extra(Base):
    def __init__(self, size, colour, scale=1.0):
        super().__init__()
        self.save_hyperparameters()
        self.body(size)
        self.scale = scale * colour.value


class Service(Base):
    def __init__(self, api_key, size):
        super().__init__()
        self.save_hyperparameters(ignore="api_key")
        self.body(size)
        self.scale = len(api_key)


class ByHand(Base):
    def __init__(self, size, scale=1.0, unsaved=None):
        super().__init__()
        self.save_hyperparameters("size", "scale")
        self.body(size)
        self.scale = scale


class Keywords(Base):
    def __init__(self, **settings):
        super().__init__()
        self.save_hyperparameters()
        self.body(settings["size"])
        self.scale = settings["scale"]


class TakesConfig(Base):
    def __init__(self, cfg):
        super().__init__()
        self.save_hyperparameters(cfg)
        self.body(cfg.size)
        self.scale = cfg.lr * cfg.inner.depth


class HasConfig(Base):
    def __init__(self, cfg, size):
        super().__init__()
        self.save_hyperparameters()
        self.body(size)
        self.scale = cfg.lr * cfg.depth


class Structured(Base):
    def __init__(self, cfg):
        super().__init__()
        self.save_hyperparameters(cfg)
        self.body(cfg.size)
        self.scale = cfg.colour.value * cfg.inner.depth
        assert cfg.colour is Colour.BLUE


class Wraps(Base):
    def __init__(self, network, scale):
        super().__init__()
        self.save_hyperparameters(ignore="network")
        self.layers, self.scale = network, scale


class Hooked(Base):
    def __init__(self, size):
        super().__init__()
        self.save_hyperparameters()
        self.size = size

    def configure_model(self):
        self.body(self.size)

    def on_save_checkpoint(self, checkpoint):
        checkpoint["mine"] = 3.0

    def on_load_checkpoint(self, checkpoint):
        self.scale = checkpoint["mine"] / checkpoint["hyper_parameters"]["size"]


class Thing:
    value = 2


class WithObject(Base):
    def __init__(self, thing, size):
        super().__init__()
        self.save_hyperparameters()
        self.body(size)
        self.scale = thing.value


X = torch.linspace(-1, 1, 20).reshape(5, 4)


def fit(name, model, **save):
    quiet = dict(accelerator="cpu", devices=1, logger=False, enable_progress_bar=False, enable_model_summary=False)
    trainer = pl.Trainer(max_epochs=1, enable_checkpointing=False, **quiet)
    trainer.fit(model, DataLoader(TensorDataset(X), batch_size=5))
    trainer.save_checkpoint(f"{{name}}.ckpt", **save)
    with torch.no_grad():
        torch.save(model(X), f"{{name}}.out")
"""

CONFIG = """
width: 6
by_node:
  _target_: zoo.ByNode
  lr: 0.1
  decay: ${.lr}
  twice: ${twice:${width}}
  folder: ${hydra:runtime.output_dir}
  network: {_target_: zoo.Body, hidden: "${twice:${width}}"}
  optimizer: ${optimizer}
optimizer: {_target_: torch.optim.SGD, _partial_: true, lr: 0.1}
from_environment:
  _target_: zoo.ByHand
  size: "${oc.decode:${oc.env:SIZE}}"
extra: {_target_: zoo.Extra, size: 3}
in_script:
  _target_: __main__.InScript
  part: {_target_: __main__.Part, size: 5}
service: {_target_: zoo.Service, api_key: hunter2-hunter2, size: 3}
plain:
  lr: ${rate}
  size: 4
  inner: {depth: 2, lr: "${..lr}"}
rate: 0.3
"""

IN_SCRIPT = """
import zoo

class Part(zoo.torch.nn.Sequential):
    def __init__(self, size):
        super().__init__(zoo.torch.nn.Linear(4, size), zoo.torch.nn.Linear(size, 2))

class InScript(zoo.Base):
    def __init__(self, part):
        super().__init__()
        self.layers, self.scale = part, 3.0

class InScriptByHand(zoo.Base):
    def __init__(self, size, colour):
        super().__init__()
        self.save_hyperparameters()
        self.body(size)
        self.scale = colour.value

class Shade(zoo.enum.Enum):
    DARK = 7

from omegaconf import OmegaConf as _OmegaConf
_OmegaConf.register_new_resolver("twice", lambda n: 2 * n) if __name__ == "__main__" else None
"""

TRAIN = """
from hydra.utils import instantiate
from zoo import fit
fit("node", instantiate(cfg.by_node))
fit("weights_only", instantiate(cfg.by_node), weights_only=True)
fit("environment", instantiate(cfg.from_environment))
fit("extra", instantiate(cfg.extra, colour=zoo.Colour.BLUE, scale=0.5))
fit("changed", instantiate(cfg.extra, colour=zoo.Colour.RED, size=7))
fit("in_script", instantiate(cfg.in_script))
fit("in_script_by_hand", InScriptByHand(3, Shade.DARK))
fit("secret", instantiate(cfg.service))
fit("by_hand", zoo.Keywords(size=3, scale=2.0))
fit("config", zoo.TakesConfig(cfg.plain))
fit("has_config", zoo.HasConfig(cfg.plain.inner, size=4))
fit("structured", zoo.Structured(OmegaConf.structured(zoo.Schema)))
fit("wraps", zoo.Wraps(zoo.Body(5), scale=2.0))
fit("hooked", zoo.Hooked(3))
fit("object", zoo.WithObject(zoo.Thing(), 3))
"""

# Loads what it is told and says how that went; `prepare` and the arguments are code.
LOAD = """
import json, sys
import torch
from lit_hydra_bridge import load_model

found = {{}}
for name, arguments in json.loads(sys.argv[2]).items():
    folder, case = sys.argv[1], name.partition(":")[0]
    try:
        {prepare}
        model = eval(f"load_model(folder + '/{{case}}.ckpt', {{arguments}})")
        x = torch.linspace(-1, 1, 20).reshape(5, 4)
        with torch.no_grad():
            same = torch.equal(model(x), torch.load(f"{{folder}}/{{case}}.out"))
        found[name] = {{"same": same, "class": type(model).__qualname__, "training": model.training,
                        "lr": str(getattr(model, "hparams", {{}}).get("decay"))}}
    except Exception as error:
        found[name] = {{"error": f"{{type(error).__name__}}: {{error}}"}}
found["modules"] = [name for name in ("lightning", "pytorch_lightning") if name in sys.modules]
found["path"] = [place for place in sys.path if sys.argv[1] in place]
print("FOUND", json.dumps(found))
"""

SAME = {
    "node": "",
    "weights_only": "",
    "environment": "",
    "extra": "",
    "changed": "",
    "in_script": "",
    "in_script_by_hand": "",
    "by_hand": "",
    "config": "",
    "has_config": "",
    "structured": "",
    "hooked": "",
    "secret:passed": "api_key='hunter2-hunter2'",
    "wraps:passed": "network=torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Linear(5, 2))",
    "object:passed": "thing=type('Thing', (), {'value': 2})",
    "by_hand:passed": "size=3",
    "by_hand:class": "model_class=__import__('zoo').Keywords",
    "node:module": "network=__import__('zoo').Body(12)",
    "node:class": "model_class=__import__('zoo').ByNode",
}
OTHER = {
    "node:followed": "lr=0.5",
    "node:network": "network={'hidden': 3}",
    "config:changed": "lr=0.5",
    "secret": "",
    "wraps": "",
    "object": "",
    "by_hand:key": "config_key='plain'",
    "by_hand:no_key": "config_key='nothing'",
    "in_script_by_hand:unknown": "wrong=1",
    "changed:size": "size=2",
}


def load(folder: Path, cases: dict[str, str], cwd: Path, prepare: str = "pass", **env: str) -> dict[str, Any]:
    """Load in a fresh interpreter, in another folder."""
    (cwd / "load.py").write_text(LOAD.format(prepare=prepare), encoding="utf-8")
    done = run(sys.executable, "load.py", str(folder), json.dumps(cases), cwd=cwd, env=env)
    found: dict[str, Any] = json.loads(done.stdout.partition("FOUND ")[2])
    return found


@pytest.fixture(scope="module", params=EACH_FLAVOUR)
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[App, dict[str, Any]]:
    """A trained zoo of one flavour, and how loading it went."""
    app = App.create(tmp_path_factory.mktemp("zoo") / "app", request.param, CONFIG)
    app.write("zoo.py", ZOO.format(flavour=request.param))
    app.script(TRAIN, IN_SCRIPT)
    app.run(env={"SIZE": "5"})
    for folder in app.folder.rglob(".hydra"):
        shutil.rmtree(folder)
    return app, load(app.folder, {**SAME, **OTHER}, tmp_path_factory.mktemp("elsewhere"), SIZE="2")


@pytest.mark.parametrize("case", SAME)
def test_a_loaded_model_predicts_what_the_trained_one_did(loaded: tuple[App, dict[str, Any]], case: str) -> None:
    found = loaded[1][case]
    assert found.get("same"), found
    assert found["training"]


def test_only_the_models_flavour_is_imported_and_the_path_is_put_back(loaded: tuple[App, dict[str, Any]]) -> None:
    app, found = loaded
    flavour = (app.folder / "net.py").read_text(encoding="utf-8").split()[1].partition(".")[0]
    assert found["modules"] == [flavour]
    assert found["path"] == []


def test_an_override_wins_and_what_refers_to_it_follows(loaded: tuple[App, dict[str, Any]]) -> None:
    _, found = loaded
    assert found["node"]["lr"] == "0.1"
    assert found["node:followed"]["lr"] == "0.5"
    assert found["node:followed"]["same"] is False
    assert found["config:changed"]["same"] is False


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("secret", ["ModelError", "'service.api_key' was a secret", "load_model(path, api_key=...)"]),
        ("wraps", ["ModelError", "Wraps needs 'network'", "load_model(path, network=...)"]),
        ("object", ["ModelError", "'thing' holds an object of zoo.Thing", "load_model(path, thing=...)"]),
        ("by_hand:key", ["ModelError", "'plain'", "no _target_"]),
        ("by_hand:no_key", ["ConfigKeyError", "there is no 'nothing'"]),
        ("in_script_by_hand:unknown", ["ModelError", "no argument 'wrong'", "size, colour"]),
        ("node:network", ["ModelError", "don't fit", "size mismatch"]),
        ("changed:size", ["ModelError", "don't fit", "size mismatch"]),
    ],
)
def test_what_is_missing_is_said_in_one_line(loaded: tuple[App, dict[str, Any]], case: str, words: list[str]) -> None:
    message = loaded[1][case]["error"]
    assert all(word in message for word in words), message
    assert "\n" not in message


def test_a_folder_that_is_gone_is_named_and_the_class_can_be_given(
    loaded: tuple[App, dict[str, Any]], tmp_path: Path
) -> None:
    app, _ = loaded
    moved = tmp_path / "moved"
    moved.mkdir()
    for file in (*app.folder.glob("*.ckpt"), *app.folder.glob("*.out")):
        shutil.copy(file, moved)
    code = tmp_path / "code"
    code.mkdir()
    shutil.copy(app.folder / "zoo.py", code)
    gone = ["node", "in_script", "in_script_by_hand", "by_hand"]
    whitelists = {
        "node:late:allowed": "execution_whitelist=['zoo.*', 'torch.optim.*']",
        "node:late:other": "execution_whitelist=['torch.*']",
        "in_script:late:script": "execution_whitelist=['__main__.*']",
        "by_hand:late:no_node": "execution_whitelist=['zoo.*']",
        "by_hand:late:class": "execution_whitelist=['zoo.*'], model_class=__import__('zoo').Keywords",
    }
    cases = {**dict.fromkeys(gone, ""), "node:late": "", "by_hand:late": "", **whitelists}
    hidden = app.folder.rename(app.folder.with_name("hidden"))
    try:
        late = f"sys.path.append({str(code)!r}) if ':late' in name else None"
        found = load(moved, cases, tmp_path, late)
    finally:
        hidden.rename(app.folder)
    assert "zoo.ByNode can't be imported: No module named 'zoo'" in found["node"]["error"]
    assert "__main__.InScript can't be imported" in found["in_script"]["error"]
    assert "__main__.InScriptByHand can't be imported" in found["in_script_by_hand"]["error"]
    assert all("model_class=" in found[case]["error"] and "\n" not in found[case]["error"] for case in gone)
    assert found["node:late"]["same"] and found["by_hand:late"]["same"]
    if "_execution_whitelist_" not in inspect.signature(instantiate).parameters:
        assert all("needs Hydra 1.4 or newer" in found[case]["error"] for case in whitelists)
        return
    assert found["node:late:allowed"].get("same"), found
    assert "zoo.ByNode" in found["node:late:other"]["error"]
    assert "not imported under an execution whitelist" in found["in_script:late:script"]["error"]
    assert "pass model_class=" in found["by_hand:late:no_node"]["error"]
    assert found["by_hand:late:class"].get("same"), found


def test_a_run_folder_means_its_newest_checkpoint_and_weights_are_read_alone(
    loaded: tuple[App, dict[str, Any]],
) -> None:
    app, _ = loaded
    newest = max(app.folder.glob("*.ckpt"), key=lambda file: (file.stat().st_mtime_ns, file.name))
    weights = read_weights(app.folder)
    expected = torch.load(newest, weights_only=False, map_location="cpu") if newest.stem == "by_hand" else None
    assert set(weights) == {f"layers.{i}.{name}" for i in (0, 2) for name in ("weight", "bias")}
    assert all(type(weight) is torch.Tensor and weight.device.type == "cpu" for weight in weights.values())
    assert expected is None or all(torch.equal(weights[name], expected["state_dict"][name]) for name in weights)
    checkpoint = load_checkpoint(app.folder / "config.ckpt")
    assert isinstance(checkpoint["hyper_parameters"], Placeholder)
    assert read_weights(f"file://{app.folder / 'config.ckpt'}").keys() == checkpoint["state_dict"].keys()
    assert load_checkpoint(app.folder / "by_hand.ckpt")["hyper_parameters"] == {"size": 3, "scale": 2.0}


def test_a_module_run_by_its_name_and_a_script_that_always_runs(tmp_path: Path) -> None:
    app = App.create(tmp_path / "app", config="part: {_target_: __main__.Part, size: 5}\n")
    app.write("zoo.py", ZOO.format(flavour="lightning.pytorch"))
    app.script("zoo.fit('module', InScriptByHand(3, Shade.DARK))", IN_SCRIPT, name="pkg/train.py")
    app.write("pkg/conf/config.yaml", "a: 1\n")
    app.write("pkg/__init__.py", "")
    run(sys.executable, "-m", "pkg.train", cwd=app.folder)
    loose = app.script(
        "zoo.fit('loose', InScript(instantiate(cfg.part)))", f"from hydra.utils import instantiate\n{IN_SCRIPT}"
    )
    text = loose.read_text(encoding="utf-8")
    loose.write_text(
        text.replace('if __name__ == "__main__":\n    main()', "main()\nraise SystemExit"), encoding="utf-8"
    )
    app.run()
    before = sorted(app.folder.rglob("*"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    cases = {
        "module": "",
        "loose:other": "",
        "loose": "part=torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Linear(5, 2))",
    }
    # Last, because this process's own class of a name comes first.
    own = (
        "globals().update(Shade=__import__('pkg.train').train.Shade,"
        " InScriptByHand=type('Own', (__import__('pkg.train').train.InScriptByHand,), {}))"
    )
    prepare = f"if ':own' in name: sys.path.append(folder); {own}"
    found = load(app.folder, {**cases, "module:own": ""}, elsewhere, prepare, PYTHONDONTWRITEBYTECODE="1")
    assert found["module"].get("same"), found
    assert "InScript needs 'part'" in found["loose:other"]["error"]
    assert found["loose"].get("same"), found
    assert found["module:own"].get("class") == "Own", found
    assert sorted(app.folder.rglob("*")) == before


def test_the_example_app_is_loaded_from_its_config_node(tmp_path: Path) -> None:
    run(sys.executable, str(ROOT / "example_app" / "train.py"), "trainer.max_epochs=1", cwd=tmp_path)
    run_folder = next((tmp_path / "outputs").glob("*/*"))
    shutil.rmtree(run_folder / ".hydra")
    code = """
import sys, torch
from lit_hydra_bridge import load_model, read_record
model = load_model(sys.argv[1]).eval()
from example_app.data import digits_loaders
images, labels = next(iter(digits_loaders()[1]))
accuracy = float((model(images).argmax(1) == labels).float().mean())
assert accuracy == read_record(sys.argv[1]).metrics["val_acc"], accuracy
assert type(model.configure_optimizers()) is torch.optim.Adam
print(type(model.network).__name__)
"""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    env = {"PYTHONPATH": ""}
    assert run(sys.executable, "-c", code, str(run_folder), cwd=elsewhere, env=env).stdout.strip() == "MLP"


class Opens:
    """Pickles as a call."""

    def __init__(self, call: Any, argument: str) -> None:
        self.call, self.argument = call, argument

    def __reduce__(self) -> Any:
        return self.call, (self.argument,)


@pytest.mark.parametrize("call", [os.system, eval, exec, os.mkdir])
def test_a_hostile_file_runs_nothing(tmp_path: Path, call: Any) -> None:
    marker = tmp_path / "ran"
    argument = {os.system: f"touch {marker}", os.mkdir: str(marker)}.get(call, f"open({str(marker)!r}, 'w')")
    path = tmp_path / "hostile.ckpt"
    hyper_parameters = {"a": Opens(call, argument), "b": {Opens(call, argument): 1}}
    torch.save({"state_dict": {"w": torch.ones(2)}, "hyper_parameters": hyper_parameters}, path)
    if call.__module__ == "posix":
        with pytest.raises(CheckpointError, match="refused: it names 'posix"):
            read_weights(path)
    else:
        assert torch.equal(read_weights(path)["w"], torch.ones(2))
    with pytest.raises(BridgeError):
        load_model(path)
    assert not marker.exists()


def test_what_is_allowed_in_this_process_stays_as_it_was(tmp_path: Path) -> None:
    from omegaconf import DictConfig, OmegaConf

    path = tmp_path / "a.ckpt"
    torch.save({"state_dict": {}, "cfg": OmegaConf.create({"a": "${b:}"}), "own": Allowed()}, path)
    with torch.serialization.safe_globals([DictConfig, Allowed]):
        before = set(torch.serialization.get_safe_globals())
        checkpoint = load_checkpoint(path)
        assert set(torch.serialization.get_safe_globals()) == before
    assert isinstance(checkpoint["cfg"], Placeholder)
    assert type(checkpoint["own"]) is Allowed
    assert isinstance(load_checkpoint(path)["own"], Placeholder)
    with pytest.raises(pickle.PicklingError, match="can't be saved"):
        torch.save(load_checkpoint(path), tmp_path / "b.ckpt")


class Allowed:
    """A class that the caller trusts."""


class Kind(dict):  # type: ignore[type-arg]
    """A kind of dict, with attributes."""

    def __init__(self, **items: Any) -> None:
        super().__init__(**items)
        self.__dict__.update(items)


class Row(list):  # type: ignore[type-arg]
    """A kind of list."""


def test_kinds_of_dicts_and_lists_come_as_such(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    torch.save({"kind": Kind(a=1, b=Kind(c=2)), "row": Row([1, Row([2])]), "path": path}, path)
    checkpoint = load_checkpoint(path)
    assert checkpoint["kind"] == {"a": 1, "b": {"c": 2}}
    assert checkpoint["row"] == [1, [2]]
    assert checkpoint["path"].stands_for.startswith("pathlib")


def test_a_checkpoint_that_was_packed_again_is_not_mapped(tmp_path: Path) -> None:
    path, packed = tmp_path / "a.ckpt", tmp_path / "packed.ckpt"
    torch.save({"state_dict": {"w": torch.arange(1000.0)}}, path)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    assert torch.equal(read_weights(packed)["w"], torch.arange(1000.0))


def test_an_old_checkpoint_is_read(tmp_path: Path) -> None:
    path = tmp_path / "old.ckpt"
    torch.save({"state_dict": {"w": torch.ones(2)}}, path, _use_new_zipfile_serialization=False)
    assert torch.equal(read_weights(path)["w"], torch.ones(2))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_garbage_is_one_line(tmp_path: Path) -> None:
    whole = tmp_path / "whole.ckpt"
    torch.save({"state_dict": {"w": torch.ones(2000)}}, whole)
    bad: dict[str, bytes] = {
        "empty": b"",
        "text": b"hello",
        "cut": whole.read_bytes()[:3000],
        "zip": b"PK" + b"x" * 100,
        "pickle": pickle.dumps({"a": 1}),
        "half_pickle": pickle.dumps({"a": 1}, protocol=2)[:5],
    }
    for name, data in bad.items():
        (tmp_path / f"{name}.ckpt").write_bytes(data)
    torch.save([1, 2], tmp_path / "list.ckpt")
    torch.save({"a": 1}, tmp_path / "no_weights.ckpt")
    torch.save({"state_dict": {}}, tmp_path / "protocol.ckpt", pickle_protocol=4)
    for name in (*bad, "list", "no_weights", "protocol"):
        with pytest.raises(CheckpointError) as raised:
            read_weights(tmp_path / f"{name}.ckpt")
        assert str(tmp_path / f"{name}.ckpt") in str(raised.value)
        assert "\n" not in str(raised.value)


def test_nothing_there_sharded_or_without_a_record(tmp_path: Path) -> None:
    for place in ("", tmp_path / "none.ckpt", tmp_path, f"file://{tmp_path}/none.ckpt"):
        with pytest.raises(CheckpointNotFoundError):
            read_weights(place)
    sharded = tmp_path / "run" / "last.ckpt"
    sharded.mkdir(parents=True)
    torch.save({"epoch": 1}, sharded / "meta.pt")
    for place in (sharded, sharded.parent, sharded / "meta.pt"):
        with pytest.raises(CheckpointError, match=r"shards.*consolidate_checkpoint"):
            load_model(place)
    torch.save({"state_dict": {}}, tmp_path / "bare.ckpt")
    with pytest.raises(ModelError, match=r"no record.*pass model_class="):
        load_model(tmp_path / "bare.ckpt")
    with pytest.raises(ModelError, match="should be a LightningModule"):
        load_model(tmp_path / "bare.ckpt", model_class=Allowed)
    torch.save({"a": 1}, tmp_path / "other.ckpt")
    with pytest.raises(ForeignFileError, match="no 'state_dict'"):
        read_weights(tmp_path / "other.ckpt")


COLORS = """
import enum
from dataclasses import dataclass, field
from typing import Dict
from hydra.core.config_store import ConfigStore

class Color(enum.Enum):
    RED = 1

@dataclass
class Part:
    _target_: str = "net.Net"
    lr: float = 0.1
    table: Dict[Color, int] = field(default_factory=lambda: {Color.RED: 3})

ConfigStore.instance().store(group="part", name="here", node=Part)
"""


def test_keys_of_an_enum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = App.create(tmp_path / "app", config="defaults: [_self_, {part: here}]\n")
    app.write("colors_of_this_test.py", COLORS)
    app.write("whole_of_this_test.py", "from net import Net\n\nclass Whole(Net):\n    pass\n")
    app.script(
        """
        for name, net in (("node", hydra.utils.instantiate(cfg.part)), ("whole", Whole(full=cfg))):
            t = trainer()
            t.fit(net, data())
            t.save_checkpoint(name + ".ckpt")
        """,
        "import colors_of_this_test\nfrom whole_of_this_test import Whole",
    )
    app.run()
    monkeypatch.syspath_prepend(app.folder)
    for name, argument in (("node", "table"), ("whole", "full")):
        path = app.folder / f"{name}.ckpt"
        with pytest.raises(ModelError, match=rf"{argument}.* of colors_of_this_test.Color.*{argument}=\.\.\."):
            load_model(path, config_key="part" if name == "node" else None)
        assert load_model(path, **{argument: None}).hparams[argument] is None
    color = importlib.import_module("colors_of_this_test").Color
    assert load_model(app.folder / "whole.ckpt").hparams.full.part.table == {color.RED: 3}
    assert load_model(app.folder / "node.ckpt").hparams.table == {color.RED: 3}


ZEN = """
import hydra
import torch
from hydra_zen import ZenStore, builds, zen
from net import Net, data, pl, trainer


def same(build):
    return build


class Deep(Net):
    def __init__(self, lr=0.1, depth=1, loss=None):
        super().__init__(lr)
        self.save_hyperparameters()


def task(model):
    t = trainer(default_root_dir=".")
    t.fit(model(loss=torch.nn.L1Loss()) if not isinstance(model, Net) else model, data())


store = ZenStore(overwrite_ok=True)
known = dict(lr="${.note}", depth=3, zen_meta=dict(note=0.25))
for name, more in (("plain", {}), ("partial", dict(zen_partial=True)), ("wrapped", dict(zen_wrappers=same))):
    store(builds(Deep, **known, **more), group="model", name=name)
store(builds(task, model=None, hydra_defaults=["_self_", {"model": "plain"}], populate_full_signature=True), name="app")
if __name__ == "__main__":
    store.add_to_hydra_store()
    zen(task).hydra_main(config_name="app", version_base="1.3", config_path=None)
"""


@pytest.mark.skipif(find_spec("hydra_zen") is None, reason="hydra-zen is not installed")
@pytest.mark.parametrize("kind", ["plain", "partial", "wrapped"])
def test_a_node_of_hydra_zen(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    app = App.create(tmp_path / "app")
    app.write("train.py", ZEN)
    app.run(f"model={kind}")
    found = app.checkpoints()[0]
    record = read_record(found)
    assert record.training and record.training.model_key == "model"
    monkeypatch.syspath_prepend(app.folder)
    model = load_model(found, loss=None)
    assert type(model).__name__ == "Deep" and (model.hparams.lr, model.hparams.depth) == (0.25, 3)
    mine = load_model(found, model_class=type("Mine", (type(model),), {}), loss=None, depth=5)
    assert type(mine).__name__ == "Mine" and (mine.hparams.lr, mine.hparams.depth) == (0.25, 5)


def test_an_error_names_the_config_nodes_that_may_build_the_model(tmp_path: Path) -> None:
    app = App.create(tmp_path / "app", config="part: {_target_: zoo_of_this_test.make, how: 1}\n")
    app.write("zoo_of_this_test.py", "def make(how):\n    from net import Net\n    return Net(lr=0.5, thing=object)\n")
    app.script("t = trainer(default_root_dir='.')\nt.fit(hydra.utils.instantiate(cfg.part), data())")
    app.run()
    with pytest.raises(ModelError, match=r"config_key= one of 'part'"):
        load_model(app.checkpoints()[0])
