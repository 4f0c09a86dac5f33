"""The config in a CSVLogger: beside the app's own hyperparameters in `hparams.yaml`."""

from __future__ import annotations

from typing import Any

from lit_hydra_bridge.record.nested import merged, readable_by_omegaconf


def has_csv_writer(logger: Any) -> bool:
    """Tell whether a CSVLogger, or what derives from it, still writes as Lightning's own does."""
    return isinstance(getattr(logger.experiment, "hparams", None), dict) and hasattr(logger.experiment, "log_dir")


def log_to_csv(logger: Any, ours: dict[str, Any]) -> None:
    """Add to the logger's hyperparameters what they don't have already, and write its `hparams.yaml`."""
    writer = logger.experiment
    both = merged(readable_by_omegaconf(ours), writer.hparams)
    if both != writer.hparams:
        writer.hparams.update(both)
        _write_hparams(writer)


def _write_hparams(writer: Any) -> None:
    """What `writer.log_hparams({})` does, which takes ten times as long; it stays for what is not plain data."""
    import yaml

    try:
        text = yaml.dump(
            writer.hparams,
            Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper),
            sort_keys=False,
            allow_unicode=True,
        )
        with writer._fs.open(f"{writer.log_dir}/{writer.NAME_HPARAMS_FILE}", "w", encoding="utf-8") as file:
            file.write(text)
    except (yaml.YAMLError, AttributeError):
        writer.log_hparams({})
