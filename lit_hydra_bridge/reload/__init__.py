"""From a checkpoint to its record and its config."""
