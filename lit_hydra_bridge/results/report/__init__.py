"""A sweep's results -> one HTML file that shows them, from disk and without a network."""
