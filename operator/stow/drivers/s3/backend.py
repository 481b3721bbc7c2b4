"""What the parts of the driver share: the wire, the dialect that was found, the process's byte budget, and a source of nonces."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from stow.drivers.s3.capabilities import Traits
from stow.drivers.s3.config import Multipart
from stow.storage.budget import ByteBudget
from stow.storage.clock import Clock
from stow.transport.wire import Wire


def random_nonce() -> str:
    """96 bits: no two writes ever share one."""
    return secrets.token_hex(12)


@dataclass(slots=True)
class Backend:
    """One S3 backend in use. ``traits`` changes once, when the probe finds the dialect."""

    wire: Wire
    traits: Traits
    multipart: Multipart
    budget: ByteBudget
    clock: Clock
    new_nonce: Callable[[], str] = random_nonce
    undoing: set[asyncio.Task[None]] = field(default_factory=set)
    """Aborts of failed uploads that still run."""

    async def settle(self) -> None:
        """Wait for the aborts; each has its own deadline."""
        while self.undoing:
            await asyncio.wait(set(self.undoing))
