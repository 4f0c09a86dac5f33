"""Distribution metadata, extras and entry points; tool settings live in pyproject.toml."""

from pathlib import Path

from setuptools import find_namespace_packages, setup

# Two releases, under both names, stole credentials when they were imported (GHSA-w37p-236h-pfx3).
LIGHTNING = ">=2.4,!=2.6.2,!=2.6.3"
LOGGERS = ["tensorboard", "wandb", "mlflow"]
# Writes scripts for sbatch, hands Python functions to jobs, counts their time limits. Hydra's own launcher for Slurm
# is built on it, so users know its settings.
SLURM = ["submitit>=1.5"]

setup(
    name="lit-hydra-bridge",
    version="0.1.0",
    description="Every Lightning checkpoint and logger of a Hydra app knows how it was made.",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=["LICENSE"],
    python_requires=">=3.10",
    # With the default flat layout an editable install writes an import hook that Hydra's
    # pkgutil walk can't see; this mapping makes setuptools write a plain path file instead.
    package_dir={"": "."},
    packages=find_namespace_packages(include=["lit_hydra_bridge*", "hydra_plugins.*"]),
    package_data={"lit_hydra_bridge": ["py.typed", "conf/**/*.yaml", "results/report/template/*"]},
    install_requires=[
        "hydra-core>=1.3.2",
        "omegaconf>=2.3",
        "torch>=2.1",
        "click>=8.1",
        "rich>=13",
        "fsspec>=2023.1",
        "PyYAML>=6",
        # For jobs of a sweep that are no forks: task functions and return values without a name to be found by.
        "cloudpickle>=2",
        # Tells BLAS and OpenMP libraries that a forked job has inherited how many threads it has.
        "threadpoolctl>=3",
        # Either name of Lightning serves; `lightning` is what a fresh installation gets.
        f"lightning{LIGHTNING}",
    ],
    extras_require={
        "pytorch-lightning": [f"pytorch-lightning{LIGHTNING}"],
        "loggers": LOGGERS,
        # `lit-hydra report` puts its plotly.js into the page; what draws charts offline, and is kept well.
        "report": ["plotly>=6"],
        "slurm": SLURM,
        "example": ["scikit-learn"],
        # For work on this package: the Makefile installs it under constraints.txt.
        "dev": [
            "build",
            "hydra-colorlog",
            "hydra-joblib-launcher",
            "hydra-optuna-sweeper",
            "hydra-submitit-launcher",
            "hydra-zen",
            "hypothesis",
            # Checks records against docs/record.schema.json.
            "jsonschema",
            "mypy",
            "pillow",
            # Drives Debian's Chromium over its own protocol; it brings its driver along and downloads nothing.
            "playwright",
            "pyte",
            "pytest",
            "pytest-timeout",
            "pytest-xdist",
            f"pytorch-lightning{LIGHTNING}",
            "ruff",
            *SLURM,
            "types-PyYAML",
            "uv",
        ],
    },
    entry_points={
        "console_scripts": ["lit-hydra = lit_hydra_bridge.cli:main"],
        "lightning.pytorch.callbacks_factory": [
            "lit_hydra_bridge = lit_hydra_bridge.record.factories:lightning_callbacks"
        ],
        "pytorch_lightning.callbacks_factory": [
            "lit_hydra_bridge = lit_hydra_bridge.record.factories:pytorch_lightning_callbacks"
        ],
    },
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Framework :: Hydra",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Operating System :: MacOS",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Typing :: Typed",
    ],
)
