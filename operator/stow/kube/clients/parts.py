"""What every client of a process gets, whatever its kind."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from stow.storage.budget import ByteBudget
from stow.storage.clock import Clock
from stow.storage.egress import EgressPolicy


@dataclass(frozen=True, slots=True)
class ClientParts:
    """``budget`` bounds what all uploads of the process buffer; ``trust`` is that of the one location."""

    clock: Clock
    egress: EgressPolicy
    budget: ByteBudget
    trust: ssl.SSLContext
