"""What came out of a sweep: its folder -> rows -> tables."""
