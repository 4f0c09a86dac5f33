"""`ckpt://`: any Hydra app can compose from the config that a checkpoint's record holds.

Hydra executes this module at the start of every app on the machine, so it imports next to nothing, and the work is
in `lit_hydra_bridge.reload.source`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hydra.core.object_type import ObjectType
from hydra.errors import CompactHydraException
from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource
from omegaconf import OmegaConf

if TYPE_CHECKING:
    import builtins

    from lit_hydra_bridge.reload.source import CheckpointOptions


class CheckpointLoadError(ConfigLoadError, CompactHydraException):  # type: ignore[misc]
    """A checkpoint's config can't be served; Hydra shows a compact error as its message alone, without a traceback."""


class LitCheckpointConfigSource(ConfigSource):  # type: ignore[misc]
    """Serves the config group `checkpoint` from `ckpt://PATH`; everything after the scheme is the path, verbatim.

    Option `config` is the whole recorded config; each of its mappings is an option under its own name.
    """

    def __init__(self, provider: str, path: str) -> None:
        super().__init__(provider=provider, path=path)
        self._read: CheckpointOptions | None = None

    @staticmethod
    def scheme() -> str:
        return "ckpt"

    def _options(self) -> CheckpointOptions:
        if self._read is None:
            from lit_hydra_bridge.reload.source import CheckpointOptions

            self._read = CheckpointOptions(self.path)
        return self._read

    def available(self) -> bool:
        return self._options().error is None

    def is_group(self, config_path: str) -> bool:
        return self._options().is_group(config_path)

    def is_config(self, config_path: str) -> bool:
        return self._options().is_config(config_path)

    def load_config(self, config_path: str) -> ConfigResult:
        """Return one option's config, and the place that it had in its run as the package.

        Raises:
            ConfigLoadError: there is no such option, or the checkpoint has no readable record.
        """
        from lit_hydra_bridge.errors import BridgeError

        try:
            content, package = self._options().load(config_path)
            config = OmegaConf.create(content)
        except BridgeError as error:
            raise CheckpointLoadError(str(error)) from None
        except Exception as error:  # what stands there as an interpolation may be none
            reason = " ".join(str(error).split())[:200]
            raise CheckpointLoadError(f"{self.path}: {config_path!r} can't be read: {reason}") from None
        return ConfigResult(provider=self.provider, path=self.full_path(), config=config, header={"package": package})

    def list(self, config_path: str, results_filter: ObjectType | None) -> builtins.list[str]:
        options, found = self._options(), set[Any]()
        if results_filter in (None, ObjectType.GROUP):
            found.update(options.groups_in(config_path))
        if results_filter in (None, ObjectType.CONFIG):
            found.update(options.configs_in(config_path))
        return sorted(found)
