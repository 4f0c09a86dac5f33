"""A checkpoint -> its tensors, without running anything the file says.

torch's own weights-only loader does the reading. It refuses a file that names anything but tensors, and many
checkpoints do: hyperparameters are DictConfigs, or objects of the app. So every name that torch does not know is
given an inert placeholder: a class that takes any arguments and any state, keeps them, and does nothing.

    name in the pickle  ->  torch knows it, or the caller allowed it  ->  the real thing
                        ->  anything else                             ->  a Placeholder
"""

from __future__ import annotations

import os
import pickle
import threading
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, TypeAlias

from lit_hydra_bridge.errors import CheckpointError, CheckpointNotFoundError, DamagedCheckpointError, ForeignFileError
from lit_hydra_bridge.reload.checkpoint import checkpoint_file

if TYPE_CHECKING:
    import torch

MapLocation: TypeAlias = Any
"""What `torch.load` takes: a device or its name, a function, or a mapping of names; None keeps the saved devices."""

_SHARDED: Final = "meta.pt"
_PLAIN, _MAPPING, _LIST = "plain", "mapping", "list"
# torch's list of safe classes is one for the whole process.
_lock: Final = threading.Lock()


class _PlaceholderType(type):
    stands_for: str

    def __repr__(cls) -> str:
        return f"<placeholder of {cls.stands_for!r}>"


class Placeholder(metaclass=_PlaceholderType):
    """Stands for an object, or for a class or function, that a checkpoint names: keeps its data, does nothing."""

    stands_for = ""
    """Dotted name of the class or function."""
    arguments: tuple[Any, ...] = ()
    state: Any = None

    def __new__(cls, *arguments: Any) -> Any:
        """Take what the file calls the real one with."""
        made = super().__new__(cls)
        made.arguments = arguments
        return made

    def __init__(self, *_: Any) -> None:
        """Do nothing: `__new__` has kept the arguments."""

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __reduce__(self) -> Any:
        raise pickle.PicklingError(f"{self!r} can't be saved: the object itself was not read from the checkpoint")

    def __repr__(self) -> str:
        return f"<placeholder of an object of {self.stands_for!r}>"


def read_weights(path: str | os.PathLike[str]) -> dict[str, torch.Tensor]:
    """Return the weights in a checkpoint, its `state_dict`, on the CPU. Nothing that the file names is run.

    The tensors of a local file are mapped into memory and read when they are used: clone what must outlive a
    change of the file in place.

    Args:
        path: what `read_record` takes; but a sharded checkpoint has to be converted first.

    Raises:
        CheckpointError: there is no checkpoint, it is damaged or sharded, or it holds no weights.
    """
    place = checkpoint_place(path)
    return state_dict_of(load_checkpoint(place), place)


def state_dict_of(checkpoint: dict[str, Any], place: str) -> dict[str, torch.Tensor]:
    """Return a loaded checkpoint's weights.

    Raises:
        ForeignFileError: there are none.
    """
    weights = checkpoint.get("state_dict")
    if not isinstance(weights, dict):
        raise ForeignFileError(f"{place}: there are no weights in it: it has no 'state_dict', as Lightning writes it")
    return weights


def load_checkpoint(path: str | os.PathLike[str], *, map_location: MapLocation = "cpu") -> dict[str, Any]:
    """Return a checkpoint as Lightning saved it, tensors included. Nothing that the file names is run.

    What is neither plain data nor a tensor is a `Placeholder`, unless it was allowed by
    `torch.serialization.add_safe_globals`. Nodes of omegaconf are placeholders even then: torch's loader may run
    their interpolations. An object that is a kind of dict or list comes as an OrderedDict or a list.

    Args:
        path: what `read_record` takes; but a sharded checkpoint has to be converted first.
        map_location: the device for the tensors, as `torch.load` takes it.

    Raises:
        CheckpointError: there is no checkpoint, it is damaged or sharded, or torch can't read it.
    """
    place = checkpoint_place(path)
    with _opened(place) as file:
        is_zip = _is_zip(file, place)
        local = place if is_zip and "://" not in place and _is_stored(file) else None
        names = _refused_names(file, place) if is_zip else []
        loaded = _load(file, local, place, names, map_location)
    if not isinstance(loaded, dict):
        raise ForeignFileError(f"{place}: holds a {type(loaded).__name__}; expected a checkpoint, which is a mapping")
    return loaded


def checkpoint_place(path: str | os.PathLike[str]) -> str:
    """Return the one file, or URL, that a path means: a run's folder stands for its newest checkpoint.

    Raises:
        CheckpointNotFoundError: there is nothing at the path, or it is empty.
        CheckpointError: it is a sharded checkpoint, or can't be read.
    """
    place = os.fsdecode(path)
    if not place:
        raise CheckpointNotFoundError("the path is empty; expected a checkpoint file, or a run's folder")
    if "://" in place:
        return place
    try:
        file = checkpoint_file(Path(place))
    except CheckpointError:
        raise
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{place}: can't be read: {error}") from None
    if file.name == _SHARDED:
        raise CheckpointError(
            f"{file.parent}: its weights are in shards; make one file of it first: "
            f"python -m lightning.pytorch.utilities.consolidate_checkpoint {file.parent}"
        )
    return str(file)


@contextmanager
def _opened(place: str) -> Iterator[IO[bytes]]:
    try:
        if "://" not in place:
            with Path(place).open("rb") as local:
                yield local
            return
        import io

        import fsspec

        # In one go: torch jumps to and fro, which not every backend can do.
        with fsspec.open(place, "rb") as remote:
            data = remote.read()
    except CheckpointError:
        raise
    except FileNotFoundError:
        raise CheckpointNotFoundError(f"{place}: there is no such file or folder") from None
    except Exception as error:  # each of fsspec's backends has errors of its own
        reason = getattr(error, "strerror", None) or brief(error)
        raise CheckpointError(f"{place}: can't be read: {reason}") from None
    yield io.BytesIO(data)


def _is_zip(file: IO[bytes], place: str) -> bool:
    start = file.read(2)
    file.seek(0)
    if start != b"PK" and start[:1] not in (b"\x80", b"L"):
        what = "is empty" if not start else "is not a checkpoint (neither a zip nor a pickle)"
        raise ForeignFileError(f"{place}: the file {what}; expected one that Lightning or torch.save wrote")
    return start == b"PK"


def _is_stored(file: IO[bytes]) -> bool:
    """Tell whether a zip's members lie there as they are; torch maps a compressed one too, and gives garbage."""
    try:
        with zipfile.ZipFile(file) as archive:
            return all(member.compress_type == zipfile.ZIP_STORED for member in archive.infolist())
    except Exception:  # a zip of garbage fails in any way it likes; torch says how
        return False
    finally:
        file.seek(0)


def _refused_names(file: IO[bytes], place: str) -> list[str]:
    """Return what the file names and torch does not allow; [] where this torch can't tell."""
    import torch

    find = getattr(torch.serialization, "get_unsafe_globals_in_checkpoint", None)
    if find is None:
        return []
    try:
        with _lock, _allowing([]):
            return list(find(file))
    except Exception as error:  # a zip or a pickle of garbage fails in any way it likes
        raise _unreadable(place, error) from None
    finally:
        file.seek(0)


def _load(file: IO[bytes], local: str | None, place: str, names: list[str], map_location: MapLocation) -> Any:
    """Load with placeholders, once more for each that turns out to be a kind of dict or list."""
    kinds = dict.fromkeys(names, _PLAIN)
    while True:
        stand_ins = [(_placeholder(name, kind), name) for name, kind in kinds.items()]
        try:
            with _lock, _allowing(stand_ins):
                return _torch_load(file, local, map_location)
        except pickle.UnpicklingError as error:
            name = _filled_like_a_container(str(error), kinds)
            if name is None:
                raise _unreadable(place, error) from None
            kinds[name] = _LIST if "append" in str(error) or "extend" in str(error) else _MAPPING
        except Exception as error:
            raise _unreadable(place, error) from None


def _torch_load(file: IO[bytes], local: str | None, map_location: MapLocation) -> Any:
    import torch

    if local is not None:
        try:
            return torch.load(local, map_location=map_location, weights_only=True, mmap=True)
        except RuntimeError:  # a device that can't be mapped to
            pass
    file.seek(0)
    return torch.load(file, map_location=map_location, weights_only=True)


def _placeholder(name: str, kind: str) -> type:
    module, _, qualname = name.rpartition(".")
    members: dict[str, Any] = {"__module__": module, "stands_for": name}
    if kind != _PLAIN:
        container = OrderedDict if kind == _MAPPING else list
        members["__new__"] = lambda _, *__: container()
    return _PlaceholderType(qualname, (Placeholder,), members)


def _filled_like_a_container(message: str, kinds: dict[str, str]) -> str | None:
    """Return which placeholder torch's refusal is about, if it is that items can't be put into it."""
    for name, kind in kinds.items():
        if kind == _PLAIN and f"<placeholder of {name!r}>" in message:
            return name
    return None


@contextmanager
def _allowing(stand_ins: list[tuple[type, str]]) -> Iterator[None]:
    """Make torch accept `stand_ins`, and what the caller allowed, but for omegaconf's nodes."""
    from torch import serialization

    if not hasattr(serialization, "clear_safe_globals"):
        yield
        return
    before = serialization.get_safe_globals()
    kept = [item for item in before if not _module_of(item).startswith("omegaconf.")]
    serialization.clear_safe_globals()
    try:
        serialization.add_safe_globals([*kept, *stand_ins])
        yield
    finally:
        serialization.clear_safe_globals()
        serialization.add_safe_globals(before)


def _module_of(allowed: Any) -> str:
    return str(allowed[1]) if isinstance(allowed, tuple) else str(getattr(allowed, "__module__", ""))


def _unreadable(place: str, error: Exception) -> CheckpointError:
    message = str(error)
    if "Unsupported global" in message or "blocked" in message:
        refused = message.partition("GLOBAL ")[2].split(" ")[0] or "something"
        return CheckpointError(
            f"{place}: refused: it names {refused!r}, which this torch takes from no file; expected tensors and the "
            "objects of a training"
        )
    if "Unsupported operand" in message:
        return CheckpointError(
            f"{place}: written with a pickle protocol that torch's safe loader does not read; save it again with "
            "torch.save's default protocol, 2"
        )
    if "torchscript" in message.lower():
        return ForeignFileError(f"{place}: a TorchScript file; expected a checkpoint that Lightning wrote")
    return DamagedCheckpointError(f"{place}: torch can't read it: {brief(error)}; is it whole, and from torch.save?")


def brief(error: BaseException, limit: int = 300) -> str:
    """Return an error on one line: its class, and the beginning of its message."""
    # torch's loader tells first how to switch its checks off.
    text = " ".join(str(error).rpartition("WeightsUnpickler error:")[2].split()).rstrip(".")
    text = text if len(text) <= limit else text[:limit] + " ..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
