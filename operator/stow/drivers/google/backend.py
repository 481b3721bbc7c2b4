"""What the parts of the driver share: the wire, the endpoint, the process's byte budget, and a source of nonces."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from stow.drivers.google.config import Uploads
from stow.drivers.google.endpoint import Endpoint
from stow.storage.budget import ByteBudget
from stow.storage.driver import Capabilities
from stow.transport.wire import Wire


def random_nonce() -> str:
    """96 bits: no two writes ever share one."""
    return secrets.token_hex(12)


@dataclass(slots=True)
class Backend:
    """One Cloud Storage in use."""

    wire: Wire
    endpoint: Endpoint
    capabilities: Capabilities
    uploads: Uploads
    budget: ByteBudget
    new_nonce: Callable[[], str] = random_nonce
    undoing: set[asyncio.Task[None]] = field(default_factory=set)
    """Cancellations of failed uploads that still run."""

    async def settle(self) -> None:
        """Wait for them; each has its own deadline."""
        while self.undoing:
            await asyncio.wait(set(self.undoing))
