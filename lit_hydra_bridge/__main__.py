"""`python -m lit_hydra_bridge …` is `lit-hydra …`, for where the console script is not on the PATH."""

from lit_hydra_bridge.cli import main

if __name__ == "__main__":
    main()
