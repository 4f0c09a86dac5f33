"""A checkpoint -> the LightningModule with its weights."""
