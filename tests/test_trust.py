"""What is loaded with which care: more than plain Lightning manages, and never with less care than it takes."""

from __future__ import annotations

import shlex
from importlib.metadata import version
from importlib.util import find_spec

import pytest

from tests.support import App

# Before 2.6 Lightning itself asked torch to load without care, and none of this was needed.
LIGHTNING_REFUSES = version("lightning" if find_spec("lightning") else "pytorch-lightning") >= "2.6"

SAVE = """
    class Configured(Net):
        def __init__(self, **cfg):
            super().__init__()
            self.save_hyperparameters(OmegaConf.create(cfg) if isinstance(cfg, dict) else cfg)

    model = Configured(**{"lr": 0.1, "net": OmegaConf.create({"sizes": [1, 2], "lr": "${oc.env:HOME}"})})
    fitted = trainer(enable_checkpointing=False)
    fitted.fit(model, data())
    fitted.save_checkpoint("configured.ckpt")
"""

USE = """
    class Configured(Net):
        def __init__(self, **cfg):
            super().__init__()
            self.save_hyperparameters(OmegaConf.create(cfg))

    if cfg.seed == 1:
        loaded = Configured.load_from_checkpoint("configured.ckpt")
        assert isinstance(loaded.hparams, DictConfig) and isinstance(loaded.hparams.net.sizes, ListConfig)
        assert OmegaConf.to_container(loaded.hparams)["net"] == {"sizes": [1, 2], "lr": "${oc.env:HOME}"}
        assert loaded.hparams.net.lr == os.environ["HOME"]
    elif cfg.seed == 2:
        resumed = trainer(max_epochs=2, enable_checkpointing=False)
        resumed.fit(Configured(lr=0.1), data(), ckpt_path="configured.ckpt")
        assert resumed.global_step == 4
    else:
        trainer().test(Configured(lr=0.1), data(), ckpt_path="configured.ckpt")
    print("worked")
"""


@pytest.mark.matrix
def test_dictconfig_hyperparameters_can_be_used_again(app: App) -> None:
    app.script(SAVE)
    app.run()
    app.script(USE, name="use.py")
    for seed in (1, 2, 3):
        assert "worked" in app.run(f"seed={seed}", script="use.py").stdout
        if not LIGHTNING_REFUSES:
            continue
        # The other side: without the bridge, today's Lightning refuses, so the test above proves something.
        refused = app.run(f"seed={seed}", script="use.py", env={"LIT_HYDRA_BRIDGE": "off"}, check=False)
        assert "Weights only load failed" in refused.stderr


@pytest.mark.skipif(not LIGHTNING_REFUSES, reason="this Lightning loads any file")
def test_a_refusal_says_what_loads_the_file(app: App) -> None:
    """Each of the two ways that the line names is taken as it is written."""
    body = """
        from fractions import Fraction

        if cfg.seed == 1:
            fitted = trainer(enable_checkpointing=False)
            fitted.fit(Net(kept=Fraction(1, 3)), data())
            fitted.save_checkpoint("it's kept.ckpt")
        else:
            trainer().test(Net(), data(), ckpt_path="it's kept.ckpt")
            print("worked")
    """
    app.script(body)
    app.run("seed=1")
    refused = app.run(check=False)
    (line,) = (line for line in refused.stderr.splitlines() if line.startswith("lit-hydra-bridge: "))
    assert "Weights only load failed" in refused.stderr and "load_model(" in line
    variable = next(word for word in shlex.split(line.partition("with ")[2]) if "TRUSTED" in word)
    name, _, value = variable.partition("=")
    assert "worked" in app.run(env={name: value}).stdout


def test_structured_hyperparameters_keep_their_types(app: App) -> None:
    app.write(
        "schema.py",
        """
        import enum, pathlib
        from dataclasses import dataclass, field
        from typing import Dict, List, Optional

        class Kind(enum.Enum):
            BIG = "big"
            @classmethod
            def _missing_(cls, value):
                open("missing_ran", "w").close()

        @dataclass
        class Part:
            sizes: List[int] = field(default_factory=lambda: [1, 2])
            named: Dict[str, float] = field(default_factory=dict)
            maybe: Optional[int] = None
            def __post_init__(self):
                open("post_init_ran", "a").write("x")

        @dataclass
        class Schema:
            lr: float = 0.1
            kind: Kind = Kind.BIG
            path: pathlib.Path = pathlib.Path("a/b")
            part: Part = field(default_factory=Part)
        """,
    )
    both = """
        from schema import Schema, Kind, Part
        class Configured(Net):
            def __init__(self, cfg=None):
                super().__init__()
                self.save_hyperparameters({"cfg": cfg}, logger=False)
    """
    app.script(
        both
        + """
        fitted = trainer(enable_checkpointing=False)
        fitted.fit(Configured(OmegaConf.structured(Schema)), data())
        fitted.save_checkpoint("configured.ckpt")
    """
    )
    app.run()
    (app.folder / "post_init_ran").unlink()
    app.script(
        both
        + """
        found = Configured.load_from_checkpoint("configured.ckpt").hparams["cfg"]
        assert OmegaConf.get_type(found) is Schema and OmegaConf.get_type(found.part) is Part
        assert found == OmegaConf.structured(Schema) and found.kind is Kind.BIG
        found.lr = "0.5"
        assert found.lr == 0.5
        found.part.sizes.append("3")
        assert found.part.sizes == [1, 2, 3]
        resumed = trainer(max_epochs=2, enable_checkpointing=False)
        resumed.fit(Configured(), data(), ckpt_path="configured.ckpt")
        resumed.save_checkpoint("again.ckpt")
    """,
        name="use.py",
    )
    app.run(script="use.py")
    assert not (app.folder / "missing_ran").exists()


OWN_OBJECTS = """
    import functools
    class Own(Net):
        def __init__(self, body=None, make=None):
            super().__init__()
            self.save_hyperparameters({"body": body, "make": make})
    from lightning.pytorch.callbacks import ModelCheckpoint
"""


def test_what_this_process_wrote_is_trusted(app: App) -> None:
    app.script(
        OWN_OBJECTS
        + """
    model = Own(torch.nn.Linear(2, 2), functools.partial(torch.optim.SGD, lr=0.1))
    saved = ModelCheckpoint(".", filename="best", save_last="link")
    fitted = trainer(callbacks=[saved])
    fitted.fit(model, data())
    fitted.test(model, data(), ckpt_path="best")
    fitted.test(model, data(), ckpt_path="last")
    trainer(max_epochs=2, enable_checkpointing=False).fit(model, data(), ckpt_path=saved.best_model_path)
    assert isinstance(Own.load_from_checkpoint(saved.best_model_path).hparams["body"], torch.nn.Linear)
    os.rename("best.ckpt", "renamed.ckpt")
    Own.load_from_checkpoint("renamed.ckpt")
    print("worked")
    try:
        Own.load_from_checkpoint("renamed.ckpt", weights_only=True)
    except Exception as error:
        print("said no:", type(error).__name__)
    """
    )
    out = app.run().stdout
    assert "worked" in out
    assert "said no: UnpicklingError" in out
    assert "Weights only load failed" in app.run(env={"LIT_HYDRA_BRIDGE": "off"}, check=False).stderr


@pytest.mark.parametrize("how", ["changed", "replaced", "appended", "flipped", "another_process"])
def test_what_has_changed_is_not_trusted(app: App, how: str) -> None:
    """A file that runs code when it is loaded without care; the marker tells whether it did."""
    app.script(
        OWN_OBJECTS
        + f"""
    class Attack:
        def __reduce__(self):
            return (os.mkdir, ("ran",))

    fitted = trainer(enable_checkpointing=False)
    fitted.fit(Own(torch.nn.Linear(2, 2)), data())
    fitted.save_checkpoint("x.ckpt")
    before = os.stat("x.ckpt")
    how = {how!r}
    if how in ("changed", "replaced"):
        state = torch.load("x.ckpt", weights_only=False)
        state["hyper_parameters"]["body"] = Attack()
        torch.save(state, "y.ckpt" if how == "replaced" else "x.ckpt")
        if how == "replaced":
            os.replace("y.ckpt", "x.ckpt")
        os.utime("x.ckpt", ns=(before.st_atime_ns, before.st_mtime_ns))
    elif how == "appended":
        import zipfile
        with zipfile.ZipFile("x.ckpt", "a") as archive:
            archive.writestr("archive/more", "x")
    elif how == "flipped":
        with open("x.ckpt", "r+b") as file:
            file.seek(200)
            byte = file.read(1)
            file.seek(200)
            file.write(bytes([byte[0] ^ 1]))
        os.utime("x.ckpt", ns=(before.st_atime_ns, before.st_mtime_ns))
    else:
        import subprocess
        code = "import torch; s = torch.load('x.ckpt', weights_only=False); torch.save(s, 'x.ckpt')"
        subprocess.run([sys.executable, "-c", code], check=True)
    for load in (
        lambda: trainer().test(Own(), data(), ckpt_path="x.ckpt"),
        lambda: trainer(max_epochs=2).fit(Own(), data(), ckpt_path="x.ckpt"),
        lambda: Own.load_from_checkpoint("x.ckpt"),
    ):
        try:
            load()
        except Exception as error:
            print("refused", type(error).__name__)
    assert not os.path.exists("ran")
    """
    )
    assert app.run().stdout.count("refused") == 3


def test_foreign_file_in_the_way_of_an_asynchronous_save_is_not_trusted(app: App) -> None:
    app.script(
        OWN_OBJECTS
        + """
    import threading
    from lightning.pytorch.plugins.io import AsyncCheckpointIO, TorchCheckpointIO

    may_write = threading.Event()

    class Slow(TorchCheckpointIO):
        def save_checkpoint(self, *args, **kwargs):
            may_write.wait(20)
            super().save_checkpoint(*args, **kwargs)

    torch.save({"state_dict": {}, "x": functools.partial(print)}, "last.ckpt")
    fitted = trainer(enable_checkpointing=False, plugins=[AsyncCheckpointIO(Slow())])
    fitted.fit(Own(torch.nn.Linear(2, 2)), data())
    fitted.save_checkpoint("last.ckpt")
    try:
        Own.load_from_checkpoint("last.ckpt")
    except Exception as error:
        print("refused", type(error).__name__)
    may_write.set()
    fitted.strategy.checkpoint_io.teardown()
    Own.load_from_checkpoint("last.ckpt")
    print("trusted")
    """
    )
    out = app.run().stdout
    assert "refused UnpicklingError" in out
    assert "trusted" in out


ATTACKS = {
    "os.mkdir": "class X:\n    def __reduce__(self): return (os.mkdir, ('ran',))\nattack = X()",
    # torch's loader may build a set of what it has read, which evaluates a real ListConfig's interpolations.
    "resolver": ("class X:\n    def __reduce__(self): return (set, (ListConfig(['${run:ran}']),))\nattack = X()"),
    "dict of a config": (
        "class X:\n    def __reduce__(self): return (dict, (OmegaConf.create({'a': '${run:ran}'}),))\nattack = X()"
    ),
    "constructor": ("class X:\n    def __reduce__(self): return (DictConfig, ({'a': 1},))\nattack = X()"),
    "state for a path": (
        "import pathlib\nclass X:\n    def __reduce__(self):\n"
        "        state = {'target': torch.nn.Parameter, 'parts': (torch.ones(1),)}\n"
        "        return (pathlib.PosixPath, ('a',), state)\nattack = X()"
    ),
    "foreign class beside": "import fractions\nattack = fractions.Fraction(1, 2)",
    "defaultdict beside": "import collections\nattack = collections.defaultdict(list)",
}


HYPERPARAMETERS = {
    "custom resolver": "${run:ran}",
    "decoded text": "${oc.decode:'\\\\${run:ran}'}",
    "nested": "${${oc.env:NAME}:ran}",
}


@pytest.mark.parametrize("text", HYPERPARAMETERS.values(), ids=HYPERPARAMETERS)
def test_a_strangers_interpolation_does_not_reach_the_apps_resolvers(app: App, text: str) -> None:
    """Lightning reads every hyperparameter as soon as it has them, which would evaluate it."""
    app.script(f"""
        OmegaConf.register_new_resolver("run", lambda name: os.mkdir(name))
        state = {{"hyper_parameters": OmegaConf.create({{"lr": {text!r}}}), "state_dict": Net().state_dict()}}
        torch.save({{**state, "pytorch-lightning_version": pl.__version__}}, "stranger.ckpt")
        try:
            Net.load_from_checkpoint("stranger.ckpt")
        except Exception as error:
            print("refused", type(error).__name__, str(error)[:100])
        assert not os.path.exists("ran")
    """)
    assert "refused UnpicklingError Weights only load failed" in app.run(env={"NAME": "run"}).stdout


@pytest.mark.parametrize("attack", ATTACKS)
def test_omegaconf_in_a_file_opens_no_door(app: App, attack: str) -> None:
    body = "\n    ".join(ATTACKS[attack].split("\n"))
    app.script(
        f"""
    OmegaConf.register_new_resolver("run", lambda name: os.mkdir(name))
    {body}
    state = {{"hyper_parameters": OmegaConf.create({{"lr": 0.1}}), "attack": attack, "state_dict": Net().state_dict()}}
    state |= {{"hparams_type": DictConfig, "pytorch-lightning_version": pl.__version__}}
    torch.save(state, "attack.ckpt")
    try:
        Net.load_from_checkpoint("attack.ckpt")
    except Exception as error:
        print("refused", type(error).__name__, str(error)[:100])
    assert not os.path.exists("ran")
    """
    )
    assert "refused UnpicklingError Weights only load failed" in app.run().stdout


def test_explicit_wish_for_no_care_is_left_alone(app: App) -> None:
    app.script("""
        import functools
        state = {"state_dict": Net().state_dict(), "hyper_parameters": {"lr": functools.partial(print)}}
        torch.save({**state, "pytorch-lightning_version": pl.__version__}, "x.ckpt")
        assert callable(Net.load_from_checkpoint("x.ckpt", weights_only=False).hparams.lr)
    """)
    app.run()


def test_two_process_training_tests_its_best_checkpoint(app: App) -> None:
    """Rank one did not write the file, but took part in saving it."""
    app.write(
        "own.py",
        """
        import functools, torch
        from net import Net
        class Own(Net):
            def __init__(self, body=None):
                super().__init__()
                self.save_hyperparameters({"body": body}, logger=False)
    """,
    )
    app.script("""
        from own import Own
        fitted = trainer(strategy="ddp", devices=2, enable_checkpointing=True, default_root_dir=".")
        model = Own(torch.nn.Linear(2, 2))
        fitted.fit(model, data())
        fitted.test(model, data(), ckpt_path=fitted.checkpoint_callback.best_model_path)
        print("rank", fitted.global_rank, "worked")
    """)
    out = app.run(timeout_s=240).stdout
    assert out.count("worked") == 2, "both ranks; their lines may be mixed"
