"""Finds or builds programs ahead of time: `python -m stow.dev.prepare [PROGRAM...]`, all of them by default.

A test run that prepares first has its long step where its progress is seen, and not inside the first test that needs
a server.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from stow.dev.assets import TOOLS, Assets, default_assets
from stow.dev.failures import DevError


def main(names: Sequence[str], *, assets: Assets | None = None) -> int:
    """Print where each program lies; 0, or 1 with the reason on standard error."""
    unknown = sorted(set(names) - set(TOOLS))
    if unknown:
        sys.stderr.write(f"stow: unknown program {', '.join(unknown)}; there are {', '.join(TOOLS)}\n")
        return 1
    try:
        assets = assets or default_assets()
        for name in names or TOOLS:
            sys.stdout.write(f"{name}: {assets.find(name)}\n")
            sys.stdout.flush()
    except DevError as error:
        sys.stderr.write(f"stow: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
