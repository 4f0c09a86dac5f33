"""One config for a job and for every rank that Lightning starts for it.

A rank composes by itself, from the job's own command line: files may have been edited since, and `${now:}` or a random
resolver gives another answer. So the job writes its own config down when it starts ranks, and they take that one.
"""

from __future__ import annotations

import functools
import os
import pickle
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from lit_hydra_bridge.files import write_file
from lit_hydra_bridge.hydra_seams import wrap_composition
from lit_hydra_bridge.sweep.job_environment import FROZEN_CONFIG
from lit_hydra_bridge.sweep.program import dumps

_MARK: Final = "__lit_hydra_bridge_rank__"
_OWN_OF_HYDRA: Final = ("oc.", "hydra:", "python_version:")


def pin_random_nodes(config: Any) -> None:
    """Give nodes whose custom resolver answers differently each time one answer, for this process and its ranks.

    Cached resolvers such as `now` are asked, so that their answers lie in the config's own cache.
    """
    from omegaconf import OmegaConf, open_dict, read_write

    for parent, key, text in list(_resolver_nodes(config, OmegaConf)):
        with suppress(Exception), _random_state_kept():  # what can't be resolved stays as it is
            first = parent[key]
            if text.startswith("${now:") or OmegaConf.is_config(first):
                continue
            if first != parent[key]:
                with read_write(config), open_dict(config):
                    parent[key] = first


def _resolver_nodes(config: Any, omegaconf: Any) -> Iterator[tuple[Any, Any, str]]:
    """Walk to the leaves of the task's config whose text calls a resolver of the app, or `now`."""
    if omegaconf.is_dict(config):
        keys = (
            list(config.keys()) if not (config._is_none() or config._is_missing() or config._is_interpolation()) else []
        )
    elif omegaconf.is_list(config):
        special = config._is_none() or config._is_missing() or config._is_interpolation()
        keys = [] if special else list(range(len(config)))
    else:
        return
    for key in keys:
        node = config._get_node(key)
        if key == "hydra" and config._get_parent() is None:
            continue
        if omegaconf.is_config(node) and not node._is_interpolation():
            yield from _resolver_nodes(node, omegaconf)
        elif node is not None and node._is_interpolation() and calls_resolver(str(node._value())):
            yield config, key, str(node._value())


def calls_resolver(text: str) -> bool:
    calls = [part for part in text.split("${")[1:] if ":" in part.partition("}")[0]]
    return any(not part.lstrip().startswith(_OWN_OF_HYDRA) for part in calls)


class _random_state_kept:  # noqa: N801
    """A resolver that draws random numbers must not change what the task draws."""

    def __enter__(self) -> None:
        numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
        self._python = random.getstate()
        self._numpy = numpy.random.get_state() if numpy is not None else None
        self._torch = torch.get_rng_state() if torch is not None else None

    def __exit__(self, *_: object) -> None:
        random.setstate(self._python)
        if self._numpy is not None:
            sys.modules["numpy"].random.set_state(self._numpy)
        if self._torch is not None:
            sys.modules["torch"].set_rng_state(self._torch)


def write_frozen_config(path: str, config: Any) -> None:
    """Write a job's config for its ranks; without it each composes its own."""
    if not path:
        return
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)  # somebody may have removed it
        write_file(path, dumps(config), private=True)
    except Exception as error:
        print(f"lit-hydra-bridge: DDP ranks will compose the config anew ({type(error).__name__}: {error})", flush=True)


def read_frozen_config(path: str) -> Any:
    """Return the config that a job has written."""
    from omegaconf import OmegaConf

    # In a job that was not forked the app's main module had another name.
    sys.modules.setdefault("__mp_main__", sys.modules["__main__"])
    config = pickle.loads(Path(path).read_bytes())
    OmegaConf.set_readonly(config.hydra, False)  # Hydra closes it when a job begins
    return config


def rank_config(path: str, local_rank: str) -> Any:
    """Return a job's config for one of its further ranks, as Lightning's command line would have it."""
    return as_rank(read_frozen_config(path), local_rank)


def as_rank(config: Any, rank: int | str) -> Any:
    """Change a job's config into that of one of its further ranks, and return it."""
    from omegaconf import OmegaConf, open_dict, read_write

    with read_write(config), open_dict(config):
        OmegaConf.update(config, "hydra.job.name", f"train_ddp_process_{rank}")
        config.hydra.output_subdir = None  # the job has written it
    return config


def install() -> None:
    """In a rank that Lightning has started: what Hydra composes for the job becomes the job's own config.

    Raises:
        BridgeError: this Hydra can't be given a config.
    """
    if os.environ.get(FROZEN_CONFIG) and "LOCAL_RANK" in os.environ:
        wrap_composition(_wrapped, _MARK)


def _wrapped(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def _load_configuration_impl(self: Any, *args: Any, **kwargs: Any) -> Any:
        composed = original(self, *args, **kwargs)
        try:
            return _frozen(composed)
        except Exception as error:
            print(f"lit-hydra-bridge: this rank composed its config anew ({type(error).__name__}: {error})", flush=True)
            return composed

    return _load_configuration_impl


def _frozen(composed: Any) -> Any:
    """Return the job's config, if what was composed is for the job's own folder."""
    from omegaconf import OmegaConf, open_dict, read_write

    path = os.environ.get(FROZEN_CONFIG, "")
    if not os.path.exists(path):
        return composed
    config = read_frozen_config(path)
    if OmegaConf.select(composed, "hydra.run.dir") != OmegaConf.select(config, "hydra.run.dir"):
        return composed  # another app, which the job has started
    with read_write(config), open_dict(config):
        for key in ("mode", "output_subdir", "job.name"):
            OmegaConf.update(config, f"hydra.{key}", OmegaConf.select(composed, f"hydra.{key}"))
    return config
