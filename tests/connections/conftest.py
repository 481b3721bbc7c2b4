"""Where a driver's sockets go and whom they trust: one table of kinds and classes of call, and two sets of faults over it.

Real: the backends behind the fronts (MinIO and the others), certificates of a private authority made for the run, TLS of every version.
Fake: the resolver of names, injected; stand-ins of token services where no real one can run. Asserted: which error comes, that a refused
connection carries not one byte of HTTP, and how often anybody was connected to.

Classes of call: `object` (our own HTTP), `lifecycle` (the SDK over our connections), `token` (what fetches credentials), `sign`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from connections.kinds import Opened, Opener, Row


@pytest.fixture
def opener(request: pytest.FixtureRequest, row: Row, tmp_path: Path) -> Opener:
    """Starts the row's servers, which cannot be asked for inside a running loop."""
    return row.open(request, tmp_path)


@pytest.fixture
async def opened(opener: Opener) -> AsyncIterator[Opened]:
    async with opener() as scene:
        yield scene
        for driver in scene.made:
            await driver.aclose()
