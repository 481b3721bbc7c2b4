"""What the parts of the driver share: the wire, the credentials, the process's byte budget, and a source of nonces."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from stow.drivers.azure.config import Blocks
from stow.drivers.azure.credentials import Access
from stow.drivers.azure.endpoint import Endpoint
from stow.storage.budget import ByteBudget
from stow.storage.clock import Clock
from stow.storage.driver import Capabilities
from stow.transport.wire import Wire


def random_nonce() -> str:
    """96 bits: no two writes ever share one."""
    return secrets.token_hex(12)


@dataclass(slots=True)
class Backend:
    """One account in use."""

    wire: Wire
    endpoint: Endpoint
    capabilities: Capabilities
    blocks: Blocks
    budget: ByteBudget
    access: Access
    clock: Clock
    new_nonce: Callable[[], str] = random_nonce
    copies_from_urls: bool = True
    """The backend can read the source of a copy by itself. Turned off by the first answer that says otherwise."""
