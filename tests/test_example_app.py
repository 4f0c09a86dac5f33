"""The example app does what its pages say: their commands, their output, their links to lines."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from tests.support import run

ROOT = Path(__file__).resolve().parent.parent
APP = ROOT / "example_app"
PAGES = [APP / "README.md", APP / "minimal" / "README.md", APP / "sweep_db" / "README.md"]
GROUPS = {folder.name: sorted(f.stem for f in folder.iterdir()) for folder in (APP / "conf").glob("*/")}

BLOCK = re.compile(r"```console\n(?P<commands>(?:.*\n)*?)```")
COMMAND = re.compile(
    r"^\$ (?P<variables>(?:\w+=\S+ )*)python (?P<arguments>.+)\n(?P<output>(?:(?!\$ ).*\n)*)", re.MULTILINE
)
LINE_LINK = re.compile(r"\[`(?P<text>[^`]+)`\]\((?P<path>[^)#]+)#L(?P<first>\d+)(?:-L(?P<last>\d+))?\)")
FILE_LINK = re.compile(r"\]\((?P<path>[^)#]+)[#)]")
ACCURACY = re.compile(r"(?<=validation accuracy: )\d\.\d{3}")
TIMESTAMP = re.compile(r"^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}\]", re.MULTILINE)


def python(folder: Path, *arguments: str, variables: Mapping[str, str] | None = None) -> str:
    """What a Python command prints, run in a folder from which `example_app` can be seen."""
    seen_from_folder = folder / "example_app"
    if not seen_from_folder.exists():
        seen_from_folder.symlink_to(APP, target_is_directory=True)
    environment = {
        "CUDA_VISIBLE_DEVICES": "",  # vanilla.py would take a GPU
        "OMP_NUM_THREADS": "1",  # on a busy machine, threads for such small batches wait for each other
        "PYTHONDONTWRITEBYTECODE": "1",
        **(variables or {}),
    }
    return run(sys.executable, *arguments, cwd=folder, env=environment).stdout


def blocks_of_pages() -> list[tuple[Path, str]]:
    return [(page, match["commands"]) for page in PAGES for match in BLOCK.finditer(page.read_text("utf-8"))]


def commands_of_pages() -> list[object]:
    found = [
        (page, block, i, match) for page, block in blocks_of_pages() for i, match in enumerate(COMMAND.finditer(block))
    ]
    return [
        pytest.param(block, i, match["output"], id=f"{page.parent.name}: {match['arguments']}")
        for page, block, i, match in found
    ]


def links_to_lines() -> list[object]:
    found = [(page, match) for page in PAGES for match in LINE_LINK.finditer(page.read_text("utf-8"))]
    return [pytest.param(page, match, id=f"{page.parent.name}: {match[0]}") for page, match in found]


def run_block(folder: Path, block: str) -> list[str]:
    """What each command of one block prints; a later one may need what an earlier one made."""
    return [
        python(
            folder,
            *shlex.split(command["arguments"]),
            variables=dict(v.split("=", 1) for v in command["variables"].split()),
        )
        for command in COMMAND.finditer(block)
    ]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[list[str]]]]:
    """What the commands of the pages' blocks print; most of their time is imports, so two blocks run at once."""
    pool = ThreadPoolExecutor(max_workers=2)
    yield {block: pool.submit(run_block, tmp_path_factory.mktemp("block"), block) for _, block in blocks_of_pages()}
    pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize(("block", "position", "shown"), commands_of_pages())
def test_command_prints_what_its_page_shows(
    block: str, position: int, shown: str, outputs: dict[str, Future[list[str]]]
) -> None:
    printed = outputs[block].result()[position]

    def fixed(text: str) -> str:
        return ACCURACY.sub("<accuracy>", TIMESTAMP.sub("<time>", text))

    assert fixed(printed) == fixed(shown)
    # Another release of torch or another processor rounds otherwise: a few images may change sides.
    assert [float(a) for a in ACCURACY.findall(printed)] == pytest.approx(
        [float(a) for a in ACCURACY.findall(shown)], abs=0.02
    )


def test_every_command_of_a_page_is_run() -> None:
    lines = [line for page in PAGES for line in page.read_text("utf-8").splitlines() if line.startswith("$ ")]
    assert len(commands_of_pages()) == len(lines) > 0


@pytest.mark.parametrize(("page", "link"), links_to_lines())
def test_link_leads_to_the_lines_it_speaks_of(page: Path, link: re.Match[str]) -> None:
    lines = (page.parent / link["path"]).read_text("utf-8").splitlines()
    first, last = int(link["first"]), int(link["last"] or link["first"])

    assert 1 <= first <= last <= len(lines)
    assert link["text"] in "\n".join(lines[first - 1 : last])
    # A range that begins or ends in the middle of nothing has slipped.
    assert lines[first - 1].strip() and lines[last - 1].strip()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    paths = {match["path"] for match in FILE_LINK.finditer(page.read_text("utf-8"))}
    assert paths
    assert not [path for path in paths if not (page.parent / path).exists()]


def test_every_step_links_to_lines() -> None:
    _, *steps = re.split(r"^### ", (APP / "README.md").read_text("utf-8"), flags=re.MULTILINE)
    unlinked = [step.splitlines()[0] for step in steps if not LINE_LINK.search(step)]
    assert len(steps) == 13
    assert unlinked == []


def test_default_run_is_good_and_keeps_its_checkpoints(tmp_path: Path) -> None:
    printed = python(tmp_path, "example_app/train.py", "hydra.run.dir=run", "hydra.job.chdir=true")

    accuracy = ACCURACY.search(printed)
    assert accuracy is not None
    assert float(accuracy[0]) >= 0.95
    best, last = sorted((tmp_path / "run" / "checkpoints").iterdir())
    assert best.name.startswith("epoch=")
    assert last.name == "last.ckpt"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["example_app", "run"]


@pytest.fixture(scope="module")
def two_epochs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the weights, after the same two epochs, of all three scripts; and what those imported."""
    folder = tmp_path_factory.mktemp("two_epochs")
    python(
        folder,
        "-c",
        "import torch; from example_app.vanilla import train; "
        "torch.save(train(epochs=2, seed=7)[0].state_dict(), 'vanilla.pt')",
    )
    for script in ("train", "train_pl"):
        overrides = ["trainer.max_epochs=2", "seed=7", f"hydra.run.dir={script}"]
        printed = python(
            folder,
            "-c",
            f"import runpy, sys; sys.argv = ['example_app/{script}.py', *{overrides}]; "
            "runpy.run_path(sys.argv[0], run_name='__main__'); print(*sys.modules)",
        )
        (folder / script / "imported.txt").write_text(printed.splitlines()[-1], "utf-8")
    return folder


@pytest.mark.parametrize("script", ["train", "train_pl"])
def test_vanilla_and_lightning_give_the_same_weights(script: str, two_epochs: Path) -> None:
    vanilla = torch.load(two_epochs / "vanilla.pt")
    checkpoint = torch.load(two_epochs / script / "checkpoints" / "last.ckpt")
    converted = {name.removeprefix("network."): weight for name, weight in checkpoint["state_dict"].items()}

    assert len(vanilla) == 4
    assert converted.keys() == vanilla.keys()
    # The same operations in the same order, with the same random numbers: no tolerance is needed.
    assert [name for name in vanilla if not torch.equal(converted[name], vanilla[name])] == []


@pytest.mark.parametrize(
    ("script", "used", "unused"),
    [("train", "lightning.pytorch", "pytorch_lightning"), ("train_pl", "pytorch_lightning", "lightning")],
)
def test_only_one_name_of_lightning_is_imported(script: str, used: str, unused: str, two_epochs: Path) -> None:
    imported = (two_epochs / script / "imported.txt").read_text("utf-8").split()
    assert used in imported
    assert [module for module in imported if module == unused or module.startswith(f"{unused}.")] == []


@pytest.mark.parametrize("name", ["train", "module"])
def test_variant_differs_only_in_names(name: str) -> None:
    def code(path: Path) -> str:
        _, _, after_docstring = path.read_text("utf-8").partition("from __future__")
        return after_docstring

    ours = code(APP / f"{name}.py")
    renamed = ours.replace("lightning.pytorch", "pytorch_lightning")
    assert code(APP / f"{name}_pl.py") == renamed.replace('"config"', '"config_pl"') != ours


@pytest.mark.parametrize("config_name", ["config", "config_pl"])
@pytest.mark.parametrize(
    ("group", "option"), [(group, option) for group, options in GROUPS.items() for option in options]
)
def test_every_option_composes(
    group: str, option: str, config_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = [f"{group}={option}", f"hydra.runtime.output_dir={tmp_path}"]
    with initialize_config_dir(str(APP / "conf"), version_base="1.3"):
        cfg = compose(config_name, overrides, return_hydra_config=True)
    # `${hydra:...}` is resolved from here, as in a run.
    monkeypatch.setattr(HydraConfig.instance(), "cfg", cfg)
    chosen = {name: cfg[name] for name in GROUPS}
    for node in filter(OmegaConf.is_config, chosen.values()):
        OmegaConf.resolve(node)

    package = "pytorch_lightning" if config_name == "config_pl" else "lightning.pytorch"
    assert chosen["trainer"]._target_ == f"{package}.Trainer"
    assert chosen["trainer"].default_root_dir == str(tmp_path)
    assert cfg.hydra.runtime.choices[group] == option


def test_options_run_together_and_jobs_keep_apart(tmp_path: Path) -> None:
    groups = ("model", "optimizer", "logger")
    choices = [f"{group}={','.join(GROUPS[group])}" for group in groups]
    limits = ["data=few_digits", "trainer=auto", "trainer.max_epochs=1", "hydra.sweep.dir=sweep"]
    printed = python(tmp_path, "example_app/train.py", "-m", *choices, *limits)

    jobs = [path for path in (tmp_path / "sweep").iterdir() if path.is_dir()]
    assert len(ACCURACY.findall(printed)) == len(jobs) == 12
    assert [len(list(job.glob("checkpoints/*.ckpt"))) for job in jobs] == [2] * 12
    assert len(list(tmp_path.rglob("events.out.tfevents.*"))) == len(list(tmp_path.rglob("metrics.csv"))) == 4


def test_a_checkpoint_is_evaluated_with_the_config_that_it_was_trained_with(tmp_path: Path) -> None:
    # One epoch, as Lightning 2.6 renews last.ckpt only where an epoch is the best so far.
    choices = ["model=cnn", "model.network.channels=3", "data.batch_size=16", "trainer.max_epochs=1"]
    trained = python(tmp_path, "example_app/train.py", *choices, "hydra.run.dir=a run")
    last = {"CKPT": "a run/checkpoints/last.ckpt"}
    assert python(tmp_path, "example_app/evaluate.py", variables=last) == trained

    [best] = tmp_path.glob("a run/checkpoints/epoch=*.ckpt")
    changed_folder = ["-m", "example_app.evaluate", "hydra.job.chdir=true"]
    assert python(tmp_path, *changed_folder, variables={"CKPT": str(best)}) == trained

    cfg = OmegaConf.create(python(tmp_path, "example_app/evaluate.py", "data.seed=7", "--cfg", "job", variables=last))
    assert list(cfg) == ["model", "data", "ckpt_path"]
    assert cfg.model.network == {"_target_": "example_app.networks.CNN", "channels": 3, "dropout": 0.1}
    assert cfg.data == {"_target_": "example_app.data.digits_loaders", "batch_size": 16, "seed": 7}


@pytest.mark.matrix
@pytest.mark.timeout(600)
def test_no_hydra_is_asked_for_what_it_is_about_to_drop(tmp_path: Path) -> None:
    """Training, the same run again, a sweep, and loading the model: none of them makes Hydra warn."""
    quick = ["data=few_digits", "trainer.max_epochs=1"]
    sweep = ["-m", "hydra/launcher=lit_local", "hydra.launcher.output=tee", "optimizer=adam,sgd", "hydra.sweep.dir=s"]
    checkpoint = "run/checkpoints/last.ckpt"
    load = f"from lit_hydra_bridge import load_model; print(load_model({checkpoint!r}))"
    (tmp_path / "example_app").symlink_to(APP, target_is_directory=True)
    said = ""
    for arguments in (
        ["example_app/train.py", *quick, "hydra.run.dir=run"],
        ["-m", "lit_hydra_bridge", "rerun", checkpoint, "hydra.run.dir=again"],
        ["example_app/train.py", *sweep, *quick],
        ["example_app/minimal/app.py"],
        ["-c", load],
    ):
        warned = {"PYTHONWARNINGS": "always", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        done = run(sys.executable, *arguments, cwd=tmp_path, env=warned, timeout_s=300)
        said += done.stdout + done.stderr
    assert said.count("validation accuracy") == 4 and "LitDigits" in said
    assert [
        line for line in said.splitlines() if re.search(r"MigrationWarning|/hydra/.*deprecat|whitelist", line)
    ] == []
