"""A Hydra multirun -> isolated parallel jobs, a folder of outcomes, a table."""
