"""A checkpoint -> a copy to give away."""
