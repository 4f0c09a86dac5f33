"""A run's reproducibility report card."""
