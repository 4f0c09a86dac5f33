"""`lit-hydra ls --watch`: the listing anew every two seconds."""

from __future__ import annotations

import sys
import time
from typing import Final

from lit_hydra_bridge.cli.ls_listing import Listing, Wish, take
from lit_hydra_bridge.cli.ls_table import listing_lines, print_listing

_EVERY_S: Final = 2.0
# A large sweep takes its time to read, and its jobs need the processor.
_SHARE_OF_TIME: Final = 5


def watch_listing(wish: Wish) -> Listing:
    """Show the listing until no sweep runs, or Ctrl-C; then print it once more, to stay; return the last one."""
    from rich.live import Live

    from lit_hydra_bridge.sweep.board.grid import Lines, fit
    from lit_hydra_bridge.sweep.board.terminal import Terminal, console_on

    console = console_on(Terminal(sys.stdout))
    listing = take(wish)
    try:
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while listing.is_running:
                width, height = console.size
                lines = [fit(line, width, pad=False) for line in listing_lines(listing, width)]
                hidden = len(lines) - (height - 1)
                if hidden > 0:
                    lines = [*lines[: height - 2], [(f" … and {hidden + 1} more lines; --limit, --sort", "dim")]]
                live.update(Lines(lines), refresh=True)
                begun = time.monotonic()
                time.sleep(_EVERY_S)
                listing = take(wish)
                time.sleep(min(30.0, _SHARE_OF_TIME * max(0.0, time.monotonic() - begun - _EVERY_S)))
    except KeyboardInterrupt:
        pass
    print_listing(listing)
    return listing
