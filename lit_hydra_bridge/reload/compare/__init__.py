"""Two runs -> their differences."""
