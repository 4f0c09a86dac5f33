"""What every Hydra app on the machine executes at its start: it imports next to nothing, and no app fails for it.

Hydra passes over a plugin module that raises ImportError; any other exception ends the app.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def or_without(feature: str) -> Iterator[None]:
    """Run the block; if it raises, print one line that says which feature is missing, and go on."""
    try:
        yield
    except Exception as error:
        print(f"lit-hydra-bridge: {feature} does not work here ({type(error).__name__}: {error})", file=sys.stderr)
