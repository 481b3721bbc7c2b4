"""Real: the command as a process of its own, its signals, pipes and terminals; the gateway over real sockets with StowStore and the
memory driver behind it; the API server where a test asks for ``control_plane``. Fake: the gateway's ports on Kubernetes (see
``gateway.world``), and bare servers that cut or garble an answer. Asserted: exit codes, what both streams hold, which files there are
afterwards, what the backend holds. No run of the command may print a traceback: ``Stow.run`` looks at each.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cli.command import Stow
from gateway.faults import FaultyDriver
from gateway.world import TOKEN, World
from stow.drivers.memory import MemoryDriver
from stow.storage.local_signing import HMACLocalSigner


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """Serving, with the StowLocation ``main``, whose signed URLs work, and the container ``team/reports`` on it."""
    made = World()
    async with made.serving():
        signer = HMACLocalSigner(
            f"http://127.0.0.1:{made.port}",
            lambda: made.keyring,  # type: ignore[arg-type,return-value]  # None only while a test says so
            route_of=lambda _: "namespaces/team/containers/reports",
            clock=made.clock,
        )
        faulty = FaultyDriver(MemoryDriver(clock=made.clock, backend=made.backend, signer=signer))
        made.location(driver=faulty)  # type: ignore[arg-type]  # a driver all the same
        made.driver = faulty
        await made.container()
        yield made


@pytest.fixture
def stow(tmp_path: Path) -> Stow:
    """The command with a home of its own and no gateway."""
    (tmp_path / "home").mkdir()
    return Stow(tmp_path / "home", {})


@pytest.fixture
def cli(world: World, tmp_path: Path, stow: Stow) -> Stow:
    """The command, told where the gateway and a token are."""
    (tmp_path / "token").write_text(TOKEN + "\n")
    return stow.told(
        STOW_SERVER=f"http://127.0.0.1:{world.port}", STOW_TOKEN_FILE=str(tmp_path / "token"), STOW_NAMESPACE="team"
    )
