"""A sweep whose jobs Slurm runs, through submitit."""
