"""Every promise, over every kind: through StowStore, and through the HTTP object API."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import pytest

import conformance.promised.all  # noqa: F401  registers the proofs
from conformance.drivers_page import (
    BROKEN,
    COLUMNS,
    COMMAND,
    DIRECT,
    HTTP,
    KEPT,
    REFUSED,
    cell,
    committed_cells,
    expected_cells,
    written,
)
from conformance.http_gateway import ServingGateway
from conformance.kinds import SHORTFALLS, KindBuilder
from conformance.refusals import REFUSALS
from conformance.table import KINDS, LATER, PROMISES, PROOFS, Promise, Proof, problems, proofs
from conformance.world import World, make_world

FOUND = problems(PROMISES, PROOFS, LATER)
if FOUND:
    raise pytest.UsageError("promises.toml and the tests do not match: " + "; ".join(FOUND))


def cases(*, reach: str, kinds: Iterable[str] = KINDS) -> list[pytest.ParameterSet]:
    """Kind x promise; an emulator's shortfall is a strict xfail at that one promise."""
    made = []
    for kind in kinds:
        for row, proof in proofs(reach=reach):
            why = SHORTFALLS.get((kind, row.id))
            marks = [pytest.mark.xfail(reason=why, strict=True)] if why else []
            made.append(pytest.param(kind, row, proof, id=f"{kind}-{row.id}", marks=marks))
    return made


async def prove(world: World, row: Promise, proof: Proof) -> str:
    """Declared: it works. Not declared: it is refused before any I/O."""
    lacking = row.lacking(world.capabilities)
    if lacking is None:
        await proof(world)
        return KEPT
    await REFUSALS[lacking](world)
    return REFUSED


@contextmanager
def noted(seen: dict[tuple[str, str, str], str], kind_name: str, form: str, row: Promise) -> Iterator[list[str]]:
    """Write down what came out. Of several proofs of one promise each has to keep it."""
    said: list[str] = []
    key = kind_name, form, row.id
    try:
        yield said
    except BaseException:
        seen[key] = BROKEN
        raise
    if seen.get(key) != BROKEN:
        seen[key] = said[0]


@pytest.mark.parametrize(("kind_name", "row", "proof"), cases(reach="store"))
async def test_store(
    kind_name: str,
    row: Promise,
    proof: Proof,
    open_kind: Callable[[str], KindBuilder],
    seen: dict[tuple[str, str, str], str],
) -> None:
    kind = await open_kind(kind_name)()
    with noted(seen, kind_name, DIRECT, row) as said:
        said.append(await prove(await make_world(kind), row, proof))


@pytest.mark.parametrize(("kind_name", "row", "proof"), cases(reach="object"))
async def test_http(
    kind_name: str,
    row: Promise,
    proof: Proof,
    open_kind: Callable[[str], KindBuilder],
    gateway: ServingGateway,
    seen: dict[tuple[str, str, str], str],
) -> None:
    kind = await open_kind(kind_name)()
    with noted(seen, kind_name, HTTP, row) as said:
        said.append(await prove(await make_world(kind, gateway.serve), row, proof))


def test_the_page_of_drivers_says_what_was_seen(
    seen: dict[tuple[str, str, str], str], request: pytest.FixtureRequest
) -> None:
    """The last one of this module: it looks at what the others saw, or (`--write-drivers-table`) writes it down."""
    found = {
        (column.title, row.id): text
        for column in COLUMNS
        for row in PROMISES
        if (text := cell(column, row, seen)) is not None
    }
    unproven = {column.title for column in COLUMNS if column.kind is None}
    found |= {place: text for place, text in expected_cells().items() if place[0] in unproven}
    if request.config.getoption("--write-drivers-table", default=False):
        assert len(found) == len(COLUMNS) * len(PROMISES), "the whole suite has to run for the table"
        assert BROKEN not in " ".join(found.values())
        written(found)
    page = committed_cells()
    assert found == {place: page.get(place) for place in found}, f"docs/drivers.md is not what was seen: {COMMAND}"
