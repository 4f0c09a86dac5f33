"""A checkpoint -> the same run again."""
