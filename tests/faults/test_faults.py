"""Each fault, each operation, each kind: the error, the attempts, and what became of the object. The cells stand in `table.py`."""

from __future__ import annotations

import asyncio
import traceback
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from faults.kind import CANARY
from faults.kinds import KINDS
from faults.outcome import State
from faults.table import BY_NAME, OPERATIONS, ROWS, Case, Site, cases, operations
from faults.world import BIG_BYTES, HASTY, PATIENT, STREAMED_BYTES, Base, World, nobodys_host, open_world
from stow.errors import StowError

CASES = [case for kind in KINDS.values() for case in cases(kind)]


def cell(case: Case) -> ParameterSet:
    owed = case.kind.owes.get((case.row.name, case.operation.group))
    marks = [] if owed is None else [pytest.mark.xfail(reason=owed, raises=AssertionError, strict=True)]
    return pytest.param(case.kind.name, case, id=str(case), marks=marks)


@pytest.mark.parametrize(("kind_name", "case"), [cell(case) for case in CASES], indirect=["kind_name"])
async def test_a_fault_comes_to_its_error_its_attempts_and_no_partial_object(
    kind_name: str, base: Base, case: Case, tmp_path: Path
) -> None:
    row, operation, expected = case.row, case.operation, case.expected
    deadlines = HASTY if row.silent else PATIENT
    streamed_bytes = BIG_BYTES if row.big else STREAMED_BYTES
    async with nobodys_host() as elsewhere:
        async with open_world(
            base, tmp_path, door=row.door, deadlines=deadlines, streamed_bytes=streamed_bytes
        ) as world:
            await world.seed(operation)
            if case.kind.logs_in and not row.door:
                await world.log_in()
            if row.fault is not None and operation.role:
                fault = row.fault(Site(case.kind, f"http://localhost:{elsewhere.port}/elsewhere"))
                world.proxy.inject(fault, when=world.is_role(operation.role), nth=row.nth)
                if row.hurts_looks:
                    world.proxy.inject(fault, when=world.is_role("head"))
            begun_s = asyncio.get_running_loop().time()
            error = await outcome_of(world, case)
            took_s = asyncio.get_running_loop().time() - begun_s
        # Driver and proxy are closed: nothing is under way any more.
        assert type(error) is (expected.error or type(None)), (
            f"{error!r} after {[str(seen) for seen in world.proxy.seen]}"
        )
        check_attempts(world, case)
        assert expected.within_s is None or took_s < expected.within_s
        there = await world.found(operation)
        assert there == world.wanted(operation, expected.state)
        if operation.group in {"part", "commit"}:
            assert await base.server.leftovers(base.container, world.key) == 0
        await world.clean()
        assert elsewhere.connections == 0
        assert error is None or CANARY not in "".join(traceback.format_exception(error))


async def outcome_of(world: World, case: Case) -> StowError | None:
    try:
        await world.run(case.operation)
    except StowError as error:
        return error
    return None


def check_attempts(world: World, case: Case) -> None:
    expected, seen = case.expected, [str(seen) for seen in world.proxy.seen]
    if not case.operation.role and expected.error is None:
        assert (seen, world.names.count, world.proxy.connections) == ([], 0, 0)
        return
    if case.row.door:
        assert (world.names.count, seen) == (expected.attempts, [])
        return
    hurt = [request for request in world.proxy.seen if world.is_role(case.operation.role)(request)]
    assert len(hurt) == expected.attempts, seen
    if case.operation.group not in {"head", "delete"}:
        assert world.proxy.count(world.is_role("head")) == expected.looks, seen
    if expected.waits_s:
        assert hurt[1].at_s - hurt[0].at_s >= expected.waits_s


WAYS = [
    (kind.name, operation.name, door)
    for kind in KINDS.values()
    for operation in operations(kind)
    for door in ("", "tls")
    if not door or kind.over_tls
]


@pytest.mark.parametrize(("kind_name", "operation", "door"), WAYS, indirect=["kind_name"])
async def test_without_a_fault_every_operation_succeeds_through_the_proxy(
    kind_name: str, base: Base, operation: str, door: str, tmp_path: Path
) -> None:
    """Over a trusted certificate too: so it is the bad ones that fail the others."""
    async with open_world(base, tmp_path, door=door) as world:
        await world.seed(BY_NAME[operation])
        await world.run(BY_NAME[operation])
    assert await world.found(BY_NAME[operation]) == world.wanted(BY_NAME[operation], State.NEW)
    await world.clean()
    role = BY_NAME[operation].role
    # Over TLS a server cannot read a copy's source through the proxy, whose certificate it does not know: then the driver does.
    assert not role or door or world.proxy.count(world.is_role(role)) == 1


@pytest.mark.parametrize("kind_name", [kind.name for kind in KINDS.values() if kind.undo is not None], indirect=True)
async def test_an_upload_that_cannot_be_undone_is_seen_by_the_check_for_leftovers(
    kind_name: str, base: Base, tmp_path: Path
) -> None:
    """Proves that the check of the table can fail."""
    undo = KINDS[kind_name].undo
    assert undo is not None
    async with open_world(base, tmp_path) as world:
        refusing = ROWS["429"].fault
        assert refusing is not None
        fault = refusing(Site(base.kind, ""))
        world.proxy.inject(fault, when=world.is_role("part"))
        world.proxy.inject(fault, when=lambda seen: undo(seen, base.container, world.key))
        with pytest.raises(StowError):
            await world.run(BY_NAME["write in parts, at a part"])
    assert await base.server.leftovers(base.container, world.key) == 1
    assert await base.content(world.key) is None


def test_every_group_has_a_cell_in_every_kind_of_row() -> None:
    """No operation slips out of the table: each is hurt by a broken way, by silence, by a broken connection and by each status."""
    groups = {operation.group for operation in OPERATIONS} - {"sign", "unannounced"}
    for name in ("reset after the request's head", "hang before the server has it", "500", "503", "429"):
        assert ROWS[name].outcomes.keys() == groups, name
    for name in ("credentials expired", "redirect 307", "redirect 301"):
        assert ROWS[name].outcomes.keys() == groups, name
    for name in ("refused", "name does not resolve", "certificate expired"):
        assert ROWS[name].outcomes.keys() == groups - {"commit"}, (
            name
        )  # the first request of an upload in parts is broken already


def test_every_override_of_a_kind_is_about_a_row_and_an_operation() -> None:
    for kind in KINDS.values():
        for (row, operation), differs in kind.differs.items():
            assert row in ROWS
            assert operation in {*BY_NAME, *(known.group for known in OPERATIONS)}
            assert differs.reason
        for row, group in kind.owes:
            assert row in ROWS
            assert group in {known.group for known in OPERATIONS}
