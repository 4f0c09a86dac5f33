"""Handwritten digits, learned three ways: plain PyTorch, Lightning and Hydra, and Lightning's older name."""
