"""Every promise, over every kind: through StowStore, and through the HTTP object API."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

import conformance.promised.all  # noqa: F401  registers the proofs
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


async def prove(world: World, row: Promise, proof: Proof) -> None:
    """Declared: it works. Not declared: it is refused before any I/O."""
    lacking = row.lacking(world.capabilities)
    if lacking is None:
        await proof(world)
    else:
        await REFUSALS[lacking](world)


@pytest.mark.parametrize(("kind_name", "row", "proof"), cases(reach="store"))
async def test_store(kind_name: str, row: Promise, proof: Proof, open_kind: Callable[[str], KindBuilder]) -> None:
    await prove(await make_world(await open_kind(kind_name)()), row, proof)


@pytest.mark.parametrize(("kind_name", "row", "proof"), cases(reach="object"))
async def test_http(
    kind_name: str, row: Promise, proof: Proof, open_kind: Callable[[str], KindBuilder], gateway: ServingGateway
) -> None:
    await prove(await make_world(await open_kind(kind_name)(), gateway.serve), row, proof)
