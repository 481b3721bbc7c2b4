"""What the parts of the driver share: the wire, what was learnt of the backend's limits, and a source of nonces."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from stow.drivers.swift.capabilities import Traits
from stow.transport.wire import Wire


def random_nonce() -> str:
    """96 bits: no two writes ever share one."""
    return secrets.token_hex(12)


@dataclass(slots=True)
class Backend:
    """One account of one Swift. ``traits`` changes when the probe reads the limits."""

    wire: Wire
    traits: Traits
    new_nonce: Callable[[], str] = random_nonce
