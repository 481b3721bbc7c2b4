"""The table of promises and the functions that prove them.

`promises.toml` says what is promised. A function declares which promise it proves: `@promise("id")`. It takes a `World` and nothing else,
so that the same function runs over every kind, through StowStore and through HTTP, and against the saboteurs.
:func:`problems` compares the two sides; the run ends at collection when it finds anything.
"""

from __future__ import annotations

import tomllib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from conformance.world import World
    from stow.storage.driver import Capabilities

TABLE_PATH: Final = Path(__file__).with_name("promises.toml")
KINDS: Final = ("memory", "local", "minio", "moto", "azure", "swift", "google", "oracle")
FAULTS: Final = frozenset(range(1, 12))
"""The numbered faults of the original store that this one must not have."""

Proof = Callable[["World"], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Promise:
    """One row. ``capability`` is the driver's capability without which the promise is: refused before any I/O. With a colon it is one
    member of a set: ``sign_methods:PUT``. Where there are several, all are needed.

    ``reach`` is ``object`` (proven through StowStore and through HTTP) or ``store`` (has no HTTP form: proven through StowStore).
    """

    id: str
    group: str
    text: str
    fault: int | None = None
    capability: tuple[str, ...] = ()
    reach: str = "object"

    def lacking(self, capabilities: Capabilities) -> str | None:
        """The first of the capabilities that it needs and that is not declared."""
        return next((each for each in self.capability if not declares(capabilities, each)), None)


def declares(capabilities: Capabilities, capability: str) -> bool:
    name, _, member = capability.partition(":")
    value = getattr(capabilities, name)
    return member in value if member else bool(value) and value != "none"


def _row(given: dict[str, Any]) -> Promise:
    needed = given.pop("capability", ())
    return Promise(**given, capability=(needed,) if isinstance(needed, str) else tuple(needed))


def load() -> tuple[tuple[Promise, ...], dict[int, str]]:
    """The rows, and the faults that belong to kinds that do not exist yet with the reason."""
    raw = tomllib.loads(TABLE_PATH.read_text())
    return tuple(_row(row) for row in raw["promise"]), {int(n): why for n, why in raw.get("later", {}).items()}


PROMISES, LATER = load()
BY_ID: Final = {row.id: row for row in PROMISES}
PROOFS: Final[dict[str, list[Proof]]] = {}


def promise(promise_id: str) -> Callable[[Proof], Proof]:
    """Declare what a function proves. It raises AssertionError, or lets an error of the tree through, where the promise is broken."""

    def declare(proof: Proof) -> Proof:
        PROOFS.setdefault(promise_id, []).append(proof)
        return proof

    return declare


def proofs(*, reach: str) -> list[tuple[Promise, Proof]]:
    """Every (promise, proof) pair in the order of the table; ``reach="object"`` gives those that also go through HTTP."""
    rows = (row for row in PROMISES if reach == "store" or row.reach == reach)
    return [(row, proof) for row in rows for proof in PROOFS.get(row.id, ())]


def problems(rows: tuple[Promise, ...], proven: dict[str, list[Proof]], later: dict[int, str]) -> list[str]:
    """What is wrong between table and functions; every promise has to have a proof, and every fault a promise."""
    ids = [row.id for row in rows]
    named = {row.fault for row in rows if row.fault is not None}
    return [
        *(f"promise {i} stands twice in the table" for i in sorted({i for i in ids if ids.count(i) > 1})),
        *(f"promise {i} has no test" for i in ids if not proven.get(i)),
        *(f"a test names the unknown promise {i}" for i in sorted(set(proven) - set(ids))),
        *(f"fault {n} has no promise" for n in sorted(FAULTS - named - set(later))),
        *(f"{n} is no fault of the list" for n in sorted((named | set(later)) - FAULTS)),
        *(
            f"promise {row.id} has the unknown reach {row.reach}"
            for row in rows
            if row.reach not in {"object", "store"}
        ),
    ]
