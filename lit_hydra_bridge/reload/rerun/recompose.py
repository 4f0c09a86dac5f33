"""In the process of an app that `lit-hydra rerun` has started: what Hydra composes becomes what was recorded.

    Hydra composes (recorded + new overrides)  ->  three_way.py  ->  the recorded config, changed by the new overrides

The one seam is the method of Hydra's config loader through which every job's config comes: the single run's, each
job's of a multirun, and that of each DDP rank that Lightning starts. Hydra 1.3 and 1.4 reach it by different ways, so
it is the inner one, `_load_configuration_impl`. It is wrapped only where the environment names a checkpoint to make
again, in LIT_HYDRA_BRIDGE_RERUN.
"""

from __future__ import annotations

import functools
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lit_hydra_bridge.errors import BridgeError
from lit_hydra_bridge.reload.compare.config_changes import change_lines, config_changes
from lit_hydra_bridge.reload.config import config_of
from lit_hydra_bridge.reload.rerun import overrides as override_texts
from lit_hydra_bridge.reload.rerun.three_way import fill_redacted, leaf_paths, plain_config, put_back
from lit_hydra_bridge.text import one_line, printable

RERUN: Final = "LIT_HYDRA_BRIDGE_RERUN"
"""Environment variable: the checkpoint whose run is made again, or a record as JSON."""
MODE: Final = "LIT_HYDRA_BRIDGE_RERUN_MODE"
"""Environment variable: `strict`, `frozen`, or both with a comma."""
_TOLD: Final = "LIT_HYDRA_BRIDGE_RERUN_TOLD"
_MARK: Final = "__lit_hydra_bridge__"
_MOST_LINES: Final = 40
_DRIFT: Final = "lit-hydra rerun: the app's config has changed since this run (used: recorded -> not used: today):"


def install() -> None:
    """Wrap Hydra's composition if this process is to make a run again."""
    if not os.environ.get(RERUN):
        return
    from hydra._internal.config_loader_impl import ConfigLoaderImpl

    original = ConfigLoaderImpl._load_configuration_impl
    if not hasattr(original, _MARK):
        wrapped = _wrapped(original)
        setattr(wrapped, _MARK, True)
        ConfigLoaderImpl._load_configuration_impl = wrapped


def is_frozen() -> bool:
    """Tell whether the app's own config files are left out."""
    return "frozen" in os.environ.get(MODE, "").split(",")


def _wrapped(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def _load_configuration_impl(
        self: Any, config_name: str | None, overrides: list[str], run_mode: Any, *args: Any, **kwargs: Any
    ) -> Any:
        from hydra.errors import ConfigCompositionException, HydraException
        from omegaconf.errors import OmegaConfBaseException

        # Hydra 1.4 hands the same overrides on in parsed form.
        others = {name: value for name, value in kwargs.items() if name != "parsed_overrides"}

        def compose(name: str | None, texts: Sequence[str]) -> Any:
            try:
                return original(self, name, list(texts), run_mode, *args, **others)
            except (OmegaConfBaseException, ValueError) as error:
                raise ConfigCompositionException(str(error)) from error

        try:
            record = _record()
            if record.hydra is None or config_name != record.hydra.config_name:
                # Another config, which the app composes by itself.
                return original(self, config_name, overrides, run_mode, *args, **kwargs)
            return _Recomposition(record, self, config_name, overrides, run_mode, compose).config()
        except BridgeError as error:
            raise HydraException(f"lit-hydra rerun: {error}") from None

    return _load_configuration_impl


@functools.cache
def _record() -> Any:
    from lit_hydra_bridge.reload.checkpoint import read_record_or_json

    return read_record_or_json(os.environ[RERUN])


@dataclass(frozen=True)
class _Recomposition:
    """One config to compose."""

    record: Any
    loader: Any
    config_name: str | None
    given: list[str]
    """The overrides on the command line: recorded and new ones."""
    run_mode: Any
    compose: Callable[[str | None, Sequence[str]], Any]

    def config(self) -> Any:
        given = override_texts.parse(self.given)
        hydra_given = [str(override.input_line) for override in given if override.is_hydra_override()]
        recorded = override_texts.parse_recorded(self.record.hydra.overrides)
        new = override_texts.without_recorded(
            [override for override in given if not override.is_hydra_override()], recorded
        )
        compose = self._frozen if is_frozen() else self._merged
        config = compose(hydra_given, recorded, new)
        self._beside_the_original(config, given)
        return config

    def _merged(self, hydra_given: list[str], recorded: list[Any], new: list[Any]) -> Any:
        from hydra.errors import HydraException

        problems: list[str] = []
        texts = [str(override.input_line) for override in recorded if not override_texts.is_redacted(override)]
        try:
            base = self._base(hydra_given, texts, problems)
        except HydraException as error:
            problems.append(f"the app's files can't be composed any more, and are left out: {_first_line(error)}")
            _tell([], problems)
            return self._frozen(hydra_given, recorded, new)
        base_plain = plain_config(base)
        wanted = fill_redacted(self._recorded_plain(), base_plain)
        fitting = [old for old in recorded if str(old.input_line) in texts or override_texts.is_redacted(old)]
        all_texts = hydra_given + override_texts.merged(fitting, new, self.record.hydra.choices)
        config = self._with_new(all_texts, new, wanted)
        keep = [path for override in new for path in self._kept_paths(override, all_texts)]
        problems += [f"could not be put back: {unfit}" for unfit in put_back(config, base_plain, wanted, keep)]
        _tell(_drift(wanted, base_plain), problems)
        return config

    def _recorded_plain(self) -> dict[Any, Any]:
        return plain_config(config_of(self.record, False))

    def _base(self, hydra_given: list[str], texts: list[str], problems: list[str]) -> Any:
        """Compose the recorded overrides; those that don't fit today's app are taken out of `texts`."""
        from hydra.errors import HydraException

        try:
            return self.compose(self.config_name, hydra_given + texts)
        except HydraException:
            whole, texts[:] = list(texts), []
            base = self.compose(self.config_name, hydra_given)
        for text in whole:
            try:
                base = self.compose(self.config_name, [*hydra_given, *texts, text])
                texts.append(text)
            except HydraException as error:
                problems.append(f"the recorded override {text} no longer fits the app: {_first_line(error)}")
        return base

    def _with_new(self, texts: list[str], new: list[Any], wanted: dict[Any, Any]) -> Any:
        """Compose with the new overrides; one for a key that only the record has is added to it."""
        from hydra.errors import HydraException

        try:
            return self.compose(self.config_name, texts)
        except HydraException:
            added = {
                str(override.input_line): f"++{override.input_line}" for override in new if _sets(override, wanted)
            }
            if not added:
                raise
            return self.compose(self.config_name, [added.get(text, text) for text in texts])

    def _kept_paths(self, override: Any, texts: list[str]) -> list[tuple[Any, ...]]:
        """Return the paths that a new override decides on: as they are composed, so they stay."""
        from omegaconf._utils import split_key

        choices = self.record.hydra.choices
        if override_texts.key_of(override) not in choices:
            key = tuple(int(part) if part.isdigit() else part for part in split_key(override.key_or_group))
            return (
                [key] if override.is_delete() or override.is_sweep_override() else [*leaf_paths(override.value(), key)]
            )
        if override.is_sweep_override() or not override_texts.picks_another(override, choices):
            return []
        found = self.loader.compute_defaults_list(self.config_name, texts, self.run_mode).defaults
        group = f"{override.key_or_group}/"
        packages = {default.package or "" for default in found if str(default.config_path).startswith(group)}
        return [tuple(package.split(".")) for package in packages if package]

    def _frozen(self, hydra_given: list[str], recorded: list[Any], new: list[Any]) -> Any:
        """Compose the recorded YAML alone, with the app's own settings for Hydra where they can be had."""
        from hydra.errors import HydraException
        from omegaconf import open_dict

        texts = override_texts.merged([], new, {})
        try:
            hydra_node = self.compose(self.config_name, hydra_given)["hydra"]
        except HydraException:
            hydra_node = None
        source = f"hydra.searchpath=[{override_texts.quoted('ckpt://' + os.environ[RERUN])}]"
        given = [text for text in hydra_given if not text.lstrip("+").startswith("hydra.searchpath=")]
        config = self.compose(None, [*given, source, "+checkpoint=config", *texts])
        if hydra_node is not None:
            with open_dict(config):
                config["hydra"] = hydra_node
        config.hydra.overrides.hydra = hydra_given
        config.hydra.overrides.task = [
            *override_texts.merged(recorded, [], {}),
            *texts,
        ]
        return config

    def _beside_the_original(self, config: Any, given: list[Any]) -> None:
        """An app whose run folder is a fixed one must not write over the run that is made again."""
        from omegaconf import OmegaConf

        if any(override.key_or_group == "hydra.run.dir" for override in given) or self.run_mode.name != "RUN":
            return
        try:
            folder = str(OmegaConf.select(config, "hydra.run.dir"))
        except Exception:  # it needs what only a running job knows, and so is not a fixed one
            return
        original = self.record.hydra.output_dir
        if original and Path(folder).absolute() == Path(original) and Path(original).exists():
            config.hydra.run.dir = f"{folder}-rerun-{time.strftime('%Y-%m-%d_%H-%M-%S')}"


def _sets(override: Any, wanted: dict[Any, Any]) -> bool:
    """Tell whether a plain `key=value` names a key that the recorded config has."""
    from omegaconf import OmegaConf

    plain = not (override.is_add() or override.is_force_add() or override.is_delete() or override.package)
    node = OmegaConf.create(wanted)
    return (
        plain and "/" not in override.key_or_group and OmegaConf.is_config(node) and _has(node, override.key_or_group)
    )


def _has(node: Any, key: str) -> bool:
    from omegaconf import OmegaConf

    parent, _, name = key.rpartition(".")
    found = OmegaConf.select(node, parent) if parent else node
    return OmegaConf.is_dict(found) and name in found.keys()  # noqa: SIM118  # a missing value counts


def _first_line(error: BaseException) -> str:
    return one_line(str(error).strip().partition("\n")[0])[:200]


def _drift(wanted: dict[Any, Any], base: dict[Any, Any]) -> list[str]:
    return change_lines(config_changes(wanted, base))


def _tell(drift: list[str], problems: list[str]) -> None:
    """Say once, before the run, what is no longer as it was; a strict rerun ends here.

    The ranks and jobs that this process starts inherit that it was said.
    """
    if not (drift or problems) or os.environ.get(_TOLD):
        return
    os.environ[_TOLD] = "1"
    lines = [f"  {printable(line)}" for line in drift[:_MOST_LINES]]
    if len(drift) > _MOST_LINES:
        lines.append(f"  and {len(drift) - _MOST_LINES} more")
    if drift:
        lines.insert(0, _DRIFT)
    lines += [f"lit-hydra rerun: {printable(problem)}" for problem in problems]
    print("\n".join(lines), file=sys.stderr, flush=True)
    if "strict" in os.environ.get(MODE, "").split(","):
        print("lit-hydra rerun: not run, because of --strict", file=sys.stderr, flush=True)
        sys.exit(1)
