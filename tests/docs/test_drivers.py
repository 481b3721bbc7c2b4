"""`docs/drivers.md` shows what the drivers declare, cell by cell."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from stow.drivers.local.driver import LocalDriver
from stow.drivers.memory import MemoryDriver
from stow.drivers.s3.capabilities import TRAITS
from stow.storage.clock import utc_now
from stow.storage.driver import Capabilities
from stow.storage.local_signing import HMACLocalSigner, Keyring, SigningKey
from stow.storage.names import KeyRules

PAGE = "drivers.md"
SIGNER = HMACLocalSigner(
    "https://objects.example",
    lambda: Keyring(SigningKey("k1", bytes(32), utc_now())),
    route_of=lambda entry: f"namespaces/team/containers/{entry.name}",
    clock=utc_now,
)
BASE = Path("/srv/stow")


def declared() -> dict[str, Capabilities]:
    """By column: the kind, for S3 with its dialect."""
    local = LocalDriver(root=BASE / "team", base=BASE, clock=utc_now, signer=SIGNER)
    memory = MemoryDriver(clock=utc_now, signer=SIGNER)
    return {
        **{f"s3 {dialect}": traits.capabilities for dialect, traits in TRAITS.items()},
        "local": local.capabilities,
        "memory": memory.capabilities,
    }


def shown(name: str, text: str) -> str:
    """A value of `status.capabilities` as the page writes it."""
    if name.endswith("ExpiryS"):
        return f"{int(text) // 86400} d"
    if name.endswith("Bytes"):
        size = int(text)
        found = [f"{size // unit} {label}" for label, unit in UNITS if size % unit == 0]
        return found[0] if found else f"{size:,}"
    return {"true": "yes", "false": "no"}.get(text, text.replace(",", ", "))


UNITS = (("TiB", 1024**4), ("GiB", 1024**3), ("MiB", 1024**2))


def rule(value: int | bool | None) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "any" if value is None else f"{value:,}"


def test_every_capability_of_every_dialect_is_documented(manual: Any) -> None:
    rows = manual.table(PAGE, "Capabilities")
    documented = {
        column: {row["capability"]: row[column] for row in rows} for column in rows[0] if column != "capability"
    }

    assert documented == {
        column: {name: shown(name, text) for name, text in found.as_status().items() if name != "dialect"}
        for column, found in declared().items()
    }


def test_every_key_rule_of_every_dialect_is_documented(manual: Any) -> None:
    rows = manual.table(PAGE, "Key rules")
    documented = {column: {row["key"]: row[column] for row in rows} for column in rows[0] if column != "key"}

    assert documented == {
        column: {each.name: rule(getattr(found.keys, each.name)) for each in fields(KeyRules)}
        for column, found in declared().items()
    }
