"""Imports every module with proofs: each registers its own."""

from conformance.promised import (
    absence,
    changes,
    containers,
    integrity,
    keys,
    listing,
    read,
    resources,
    settings,
    signing,
    write,
)

__all__ = [
    "absence",
    "changes",
    "containers",
    "integrity",
    "keys",
    "listing",
    "read",
    "resources",
    "settings",
    "signing",
    "write",
]
