"""The tables of `docs/drivers.md`, made from data: what each driver declares, and what the conformance run saw.

A column is a kind with a dialect. Behind it stands the server that the suite runs on, an emulator of it, or nothing. The page holds the
three tables between markers; :func:`written` puts them there, and tests compare.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from conformance.kinds import SHORTFALLS, local_signer
from conformance.table import PROMISES, Promise
from stow.dev.versions import FAKE_GCS
from stow.drivers.azure import capabilities as azure
from stow.drivers.azure.config import Blocks, SharedKey
from stow.drivers.google import capabilities as google
from stow.drivers.google.config import Uploads
from stow.drivers.local.driver import LocalDriver
from stow.drivers.memory import MemoryDriver
from stow.drivers.s3.capabilities import TRAITS
from stow.drivers.s3.config import Dialect
from stow.drivers.swift.capabilities import default_traits, told
from stow.storage.clock import utc_now
from stow.storage.driver import Capabilities
from stow.storage.model import Method
from stow.storage.names import KeyRules

PAGE: Final = Path(__file__).parents[2] / "docs" / "drivers.md"
COMMAND: Final = "make drivers-table"
DIRECT, HTTP = "direct", "http"
KEPT, REFUSED, BROKEN = "kept", "refused", "broken"
PROVEN, EMULATOR, UNPROVEN, NOT_PROMISED = "proven", "emulator", "unproven", "no"

SWIFT_INFO: Final = {"object_versioning": {}, "tempurl": {"methods": [*Method], "allowed_digests": ["sha256"]}}
"""What `/info` of a Swift says that has what its documents recommend."""

Seen = Mapping[tuple[str, str, str], str]
"""(kind, DIRECT or HTTP, promise) -> KEPT, REFUSED (the capability is not declared) or BROKEN."""


@dataclass(frozen=True, slots=True)
class Column:
    """``kind`` is the suite's; None where nothing was run. ``behind`` is what answered."""

    title: str
    kind: str | None
    behind: str
    emulated: bool = False


COLUMNS: Final[tuple[Column, ...]] = (
    Column("s3 AWS", "moto", "moto's server, which has AWS's key rules and verifies no signature", emulated=True),
    Column("s3 MinIO", "minio", "MinIO itself"),
    Column("s3 Ceph", None, "nothing: its row is from Ceph's documents"),
    Column("s3 R2", None, "nothing: its row is from Cloudflare's documents"),
    Column("s3 VersityGW", None, "nothing: its row is from its documents"),
    Column("s3 Generic", None, "nothing: it declares only what all of them have"),
    Column(
        "google",
        "google",
        f"fake-gcs-server {FAKE_GCS} behind a verifier of Google's signatures and tokens",
        emulated=True,
    ),
    Column("azure Flat", "azure", "Azurite, Microsoft's emulator", emulated=True),
    Column("azure Hierarchical", None, "nothing: its row is from Microsoft's documents"),
    Column("swift", "swift", "OpenStack Swift itself, with its TempAuth"),
    Column("oracle", "oracle", "MinIO in the place of Oracle's S3-compatible API", emulated=True),
    Column("local", "local", "a disk"),
    Column("memory", "memory", "itself"),
)


def declared() -> dict[str, Capabilities]:
    """By column, out of the drivers' own data, for credentials that can sign."""
    signer, _, _ = local_signer()
    base = Path("/srv/stow")
    local = LocalDriver(root=base / "team", base=base, clock=utc_now, signer=signer)
    found = {
        **{f"s3 {dialect}": traits.capabilities for dialect, traits in TRAITS.items() if dialect != Dialect.ORACLE},
        "google": google.capabilities(Uploads(), by_iam=False),
        **{f"azure {dialect}": azure.capabilities(SharedKey("a2V5"), Blocks(), dialect) for dialect in azure.Dialect},
        "swift": told(default_traits(signs=True), SWIFT_INFO).capabilities,
        "oracle": TRAITS[Dialect.ORACLE].capabilities,
        "local": local.capabilities,
        "memory": MemoryDriver(clock=utc_now, signer=signer).capabilities,
    }
    return {column.title: found[column.title] for column in COLUMNS}


def table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines).replace("| --- ", "|---").replace("|--- |", "|---|")


_UNITS: Final = (("TiB", 1024**4), ("GiB", 1024**3), ("MiB", 1024**2))
_DAY_S: Final = 86_400


def _shown(name: str, text: str) -> str:
    """A value of `status.capabilities` as the page writes it."""
    if name.endswith("ExpiryS"):
        return f"{int(text) // _DAY_S} d"
    if name.endswith("Bytes"):
        size = int(text)
        return next((f"{size // unit:,} {label}" for label, unit in _UNITS if size % unit == 0), f"{size:,}")
    return {"true": "yes", "false": "no", "": "none"}.get(text, text.replace(",", ", "))


def capability_table() -> str:
    shown = {title: each.as_status() for title, each in declared().items()}
    names = [name for name in next(iter(shown.values())) if name != "dialect"]
    rows = [[f"`{name}`", *(_shown(name, status[name]) for status in shown.values())] for name in names]
    return table(["capability", *shown], rows)


def _rule(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(f"`{each}`" for each in value) or "none"
    return "any" if value is None else f"{value:,}"


def key_table() -> str:
    found = {title: each.keys for title, each in declared().items()}
    rows = [
        [f"`{rule.name}`", *(_rule(getattr(keys, rule.name)) for keys in found.values())] for rule in fields(KeyRules)
    ]
    return table(["key", *found], rows)


def backend_table() -> str:
    rows = [[column.title, column.behind, _proof_of(column)] for column in COLUMNS]
    return table(["column", "what the suite ran on", "so a kept promise is"], rows)


def _proof_of(column: Column) -> str:
    if column.kind is None:
        return UNPROVEN
    return EMULATOR if column.emulated else PROVEN


def shortfalls() -> list[tuple[str, str]]:
    """(column, what was seen), each once: its number in the tables is its place in this list, from 1."""
    titles = {column.kind: column.title for column in COLUMNS}
    return list(dict.fromkeys((titles[kind], why) for (kind, _), why in SHORTFALLS.items()))


def shortfall_list() -> str:
    return "\n".join(f"{number}. {title}: {why}" for number, (title, why) in enumerate(shortfalls(), 1))


def _shortfall(column: Column, row: Promise) -> str:
    why = SHORTFALLS[column.kind or "", row.id]
    return f"shortfall {shortfalls().index((column.title, why)) + 1}"


def forms(row: Promise) -> tuple[str, ...]:
    return (DIRECT, HTTP) if row.reach == "object" else (DIRECT,)


def expected(column: Column, row: Promise, capabilities: Capabilities) -> str:
    """The cell, from what is declared and from the shortfalls that are known, without a run."""
    if row.lacking(capabilities) is not None:
        return NOT_PROMISED
    if (column.kind, row.id) in SHORTFALLS:
        return _shortfall(column, row)
    return _proof_of(column)


def expected_cells() -> dict[tuple[str, str], str]:
    """By (column's title, promise)."""
    found = declared()
    return {
        (column.title, row.id): expected(column, row, found[column.title]) for column in COLUMNS for row in PROMISES
    }


def cell(column: Column, row: Promise, seen: Seen) -> str | None:
    """The cell, from what a run saw; None where it did not see all of it."""
    verdicts = [seen.get((column.kind, form, row.id)) for form in forms(row)]
    if None in verdicts:
        return None
    words = {
        KEPT: _proof_of(column),
        REFUSED: NOT_PROMISED,
        BROKEN: _shortfall(column, row) if (column.kind, row.id) in SHORTFALLS else BROKEN,
    }
    return " / ".join(dict.fromkeys(words[verdict] for verdict in verdicts if verdict is not None))


def proof_tables(cells: Mapping[tuple[str, str], str]) -> str:
    """``cells`` by (column's title, promise)."""
    groups = list(dict.fromkeys(row.group for row in PROMISES))
    parts = []
    for group in groups:
        rows = [
            [
                f"`{row.id}`",
                row.text,
                "yes" if HTTP in forms(row) else "-",
                *(cells[column.title, row.id] for column in COLUMNS),
            ]
            for row in PROMISES
            if row.group == group
        ]
        parts.append(f"### {group}\n\n" + table(["promise", "text", "HTTP", *(c.title for c in COLUMNS)], rows))
    return "\n\n".join(parts)


def generated(cells: Mapping[tuple[str, str], str]) -> dict[str, str]:
    """By the name of its markers on the page."""
    return {
        "capabilities": capability_table(),
        "keys": key_table(),
        "backends": backend_table(),
        "promises": proof_tables(cells),
        "shortfalls": shortfall_list(),
    }


def _block(name: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- {name}: made by `{COMMAND}` -->\n\n)(.*?)(\n\n<!-- end of {name} -->)", re.DOTALL)


def committed(name: str) -> str:
    """What stands on the page between the markers of that name."""
    found = _block(name).search(PAGE.read_text(encoding="utf-8"))
    assert found, f"docs/{PAGE.name} has no markers of {name}"
    return found[2]


def committed_cells() -> dict[tuple[str, str], str]:
    """By (column's title, promise)."""
    cells = {}
    header: list[str] = []
    for line in committed("promises").splitlines():
        parts = [part.strip() for part in line.strip("|").split(" | ")]
        if line.startswith("| promise"):
            header = parts
        elif line.startswith("| `"):
            for title, text in zip(header[3:], parts[3:], strict=True):
                cells[title, parts[0].strip("`")] = text
    return cells


def written(cells: Mapping[tuple[str, str], str]) -> None:
    """Bring the page up to date."""
    page = PAGE.read_text(encoding="utf-8")
    for name, text in generated(cells).items():
        page, count = _block(name).subn(lambda found, text=text: found[1] + text + found[3], page)
        assert count == 1, name
    PAGE.write_text(page, encoding="utf-8")
