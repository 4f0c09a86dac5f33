"""One config of a run that is made again: what Hydra composes today, and the record put back over it.

base    composed with the recorded overrides          -> what today's files say
theirs  composed with the recorded and new overrides  -> what the new ones change
three_way.py                                          -> the recorded config, changed by just that
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lit_hydra_bridge.hydra_text import quoted
from lit_hydra_bridge.reload.config import config_of
from lit_hydra_bridge.reload.rerun import overrides as override_texts
from lit_hydra_bridge.reload.rerun.drift import drift_lines, tell
from lit_hydra_bridge.reload.rerun.three_way import (
    AS_COMPOSED,
    fill_redacted,
    leaves,
    plain_config,
    put_back,
    redacted_keys,
    walk_leaves,
)
from lit_hydra_bridge.text import one_line

_OWN: Final = "LIT_HYDRA_BRIDGE_RERUN_FOLDER"


@dataclass(frozen=True, kw_only=True)
class Recomposition:
    """One config to compose."""

    record: Any
    source: str
    """Where the record was read from."""
    loader: Any
    """Hydra's config loader."""
    config_name: str | None
    given: list[str]
    """The overrides on the command line: recorded and new ones."""
    run_mode: Any
    compose: Callable[[str | None, Sequence[str]], Any]
    """Hydra's own composition, of a config's name and overrides."""
    strict: bool
    frozen: bool

    def config(self) -> Any:
        """Return the config, as Hydra would."""
        given = override_texts.parse(self.given)
        hydra_given = [str(override.input_line) for override in given if override.is_hydra_override()]
        recorded = override_texts.parse_recorded(self.record.hydra.overrides)
        new = override_texts.without_recorded(
            [override for override in given if not override.is_hydra_override()], recorded
        )
        compose = self._frozen if self.frozen else self._merged
        config = compose(hydra_given, recorded, new)
        self._beside_the_original(config, given)
        return config

    def _merged(self, hydra_given: list[str], recorded: list[Any], new: list[Any]) -> Any:
        problems: list[str] = []
        texts = [str(override.input_line) for override in recorded if not override_texts.is_redacted(override)]
        base = self._base(hydra_given, texts, problems)
        if base is None:
            tell([], problems, strict=self.strict)
            return self._frozen(hydra_given, recorded, new)
        base_plain = plain_config(base)
        recorded_plain = self._recorded_plain()
        wanted = fill_redacted(recorded_plain, base_plain)
        secrets = set(redacted_keys(recorded_plain))
        _ask_for_secrets(wanted, secrets, new)
        fitting = [old for old in recorded if str(old.input_line) in texts or override_texts.is_redacted(old)]
        all_texts = hydra_given + self._all_texts(hydra_given, fitting, new)
        config = self._with_new(all_texts, new, wanted)
        keep = {path: value for override in new for path, value in self._kept(override, all_texts).items()}
        problems += [f"could not be put back: {unfit}" for unfit in put_back(config, base_plain, wanted, keep)]
        tell(drift_lines(wanted, base_plain, secrets), problems, strict=self.strict)
        return config

    def _all_texts(self, hydra_given: list[str], recorded: list[Any], new: list[Any]) -> list[str]:
        choices = self.record.hydra.choices
        texts = override_texts.merged(recorded, new, choices)
        picked = [override for override in new if override_texts.picks_another(override, choices)]
        if not picked:
            return texts
        packages = {
            override_texts.key_of(override): [
                place for _, place in self._options(override, hydra_given + texts) if place
            ]
            for override in picked
            if not override.is_sweep_override()
        }
        return override_texts.merged(recorded, new, choices, packages)

    def _options(self, override: Any, texts: list[str]) -> list[tuple[str, str]]:
        """Return the options that a group's override picks: (path of the file, package)."""
        found = self.loader.compute_defaults_list(self.config_name, texts, self.run_mode).defaults
        group = f"{override.key_or_group}/"
        return [
            (str(default.config_path), default.package or "")
            for default in found
            if str(default.config_path).startswith(group)
        ]

    def _recorded_plain(self) -> dict[Any, Any]:
        return plain_config(config_of(self.record, False))

    def _base(self, hydra_given: list[str], texts: list[str], problems: list[str]) -> Any:
        """Compose the recorded overrides; those that don't fit today's app are taken out of `texts`.

        None where the app's files can't be composed at all.
        """
        from hydra.errors import HydraException

        try:
            return self.compose(self.config_name, hydra_given + texts)
        except HydraException:
            whole, texts[:] = list(texts), []
        try:
            base = self.compose(self.config_name, hydra_given)
        except HydraException as error:
            if self._composes_without(hydra_given):
                raise  # what was said about Hydra itself is wrong, not the app
            problems.append(f"the app's files can't be composed any more, and are left out: {_first_line(error)}")
            return None
        for text in whole:
            try:
                base = self.compose(self.config_name, [*hydra_given, *texts, text])
                texts.append(text)
            except HydraException as error:
                problems.append(f"the recorded override {text} no longer fits the app: {_first_line(error)}")
        return base

    def _composes_without(self, hydra_given: list[str]) -> bool:
        from hydra.errors import HydraException

        try:
            self.compose(self.config_name, [text for text in hydra_given if text.startswith("hydra.searchpath=")])
        except HydraException:
            return False
        return bool(hydra_given)

    def _with_new(self, texts: list[str], new: list[Any], wanted: dict[Any, Any]) -> Any:
        """Compose with the new overrides; one for a key that only the record has is added to it."""
        from hydra.errors import HydraException

        try:
            return self.compose(self.config_name, texts)
        except HydraException as error:
            choices = self.record.hydra.choices
            added = {
                str(override.input_line): f"++{override.input_line}"
                for override in new
                if not override_texts.is_choice(override, choices) and _sets(override, wanted)
            }
            if not added:
                raise
            try:
                return self.compose(self.config_name, [added.get(text, text) for text in texts])
            except HydraException:
                raise error from None  # of what the user wrote, and not of what we made of it

    def _kept(self, override: Any, texts: list[str]) -> dict[tuple[Any, ...], Any]:
        """Return the paths that a new override decides on, with its values; AS_COMPOSED where files have them."""
        from omegaconf._utils import split_key

        choices = self.record.hydra.choices
        if not override_texts.is_choice(override, choices):
            key = tuple(int(part) if part.isdigit() else part for part in split_key(override.key_or_group))
            if override.is_delete() or override.is_sweep_override():
                kept: dict[tuple[Any, ...], Any] = {key: AS_COMPOSED}
            else:
                kept = dict(leaves(override.value(), key))
            # A group that the run did not have, such as +experiment=x, may be put anywhere.
            return {**kept, **self._kept_options(override, texts)} if _may_be_a_group(override) else kept
        if override.is_sweep_override() or not override_texts.picks_another(override, choices):
            return {}
        return self._kept_options(override, texts)

    def _kept_options(self, override: Any, texts: list[str]) -> dict[tuple[Any, ...], Any]:
        kept: dict[tuple[Any, ...], Any] = {}
        for file, package in self._options(override, texts):
            if package:
                kept[tuple(package.split("."))] = AS_COMPOSED
            else:  # at the top: just what the file itself says
                loaded = self.loader.repository.load_config(config_path=file)
                content = plain_config(loaded.config) if loaded is not None else {}
                kept.update((path, AS_COMPOSED) for path, _ in leaves(content, ()) if path and path != ("defaults",))
        return kept

    def _frozen(self, hydra_given: list[str], recorded: list[Any], new: list[Any]) -> Any:
        """Compose the recorded YAML alone, with the app's own settings for Hydra where they can be had."""
        from hydra.errors import HydraException
        from omegaconf import open_dict

        task = override_texts.merged(recorded, new, self.record.hydra.choices)
        hydra_node = None
        for texts in ([*hydra_given, *task], hydra_given):
            try:
                hydra_node = self.compose(self.config_name, texts)["hydra"]
                break
            except HydraException:
                continue
        source = f"hydra.searchpath=[{quoted('ckpt://' + self.source)}]"
        given = [text for text in hydra_given if not text.lstrip("+").startswith("hydra.searchpath=")]
        config = self.compose(
            None, [*given, source, "+checkpoint=config", *(str(override.input_line) for override in new)]
        )
        with open_dict(config):
            if hydra_node is not None:
                config["hydra"] = hydra_node
            config.hydra.runtime.choices.update(self.record.hydra.choices)
        config.hydra.overrides.hydra = hydra_given
        config.hydra.overrides.task = task
        return config

    def _beside_the_original(self, config: Any, given: list[Any]) -> None:
        """An app whose folder is a fixed one must not write over the run or the sweep that is made again."""
        from omegaconf import OmegaConf

        is_sweep = "MULTIRUN" in (self.run_mode.name, str(OmegaConf.select(config, "hydra.mode")).rpartition(".")[2])
        key = "hydra.sweep.dir" if is_sweep else "hydra.run.dir"
        if any(override.key_or_group == key for override in given):
            return
        try:
            folder = str(OmegaConf.select(config, key))
        except Exception:  # it needs what only a running job knows, and so is not a fixed one
            return
        hydra = self.record.hydra
        originals = {path for path in (hydra.output_dir, hydra.sweep_dir) if path and Path(path).exists()}
        if os.path.abspath(folder) in originals:  # noqa: PTH100
            # The same for all jobs and ranks of this rerun, and another one's is another.
            own = f"rerun-{time.strftime('%Y-%m-%d_%H-%M-%S')}-{os.getpid()}"
            OmegaConf.update(config, key, f"{folder}-{os.environ.setdefault(_OWN, own)}")


def _may_be_a_group(override: Any) -> bool:
    return (override.is_add() or override.is_force_add()) and isinstance(override.value(), str | list)


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


def _ask_for_secrets(wanted: dict[Any, Any], secrets: set[str], new: Sequence[Any]) -> None:
    """A secret that neither the record nor today's files nor a new override has must not be missed in mid-training."""
    missing = [key for key, value in walk_leaves(wanted) if key in secrets and value == "???"]
    override_texts.require(missing, new)
