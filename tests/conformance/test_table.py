"""The collection check itself: what it has to notice between the table and the proofs."""

from __future__ import annotations

from dataclasses import replace

import pytest

import conformance.promised.all  # noqa: F401  registers the proofs
from conformance.kinds import SHORTFALLS
from conformance.refusals import REFUSALS
from conformance.saboteurs import SABOTEURS
from conformance.table import BY_ID, FAULTS, KINDS, LATER, PROMISES, PROOFS, problems


def test_table_and_proofs_match() -> None:
    assert problems(PROMISES, PROOFS, LATER) == []


def test_promise_without_a_test_is_found() -> None:
    proven = {promise_id: found for promise_id, found in PROOFS.items() if promise_id != "read-range"}
    assert problems(PROMISES, proven, LATER) == ["promise read-range has no test"]


def test_unknown_promise_is_found() -> None:
    proven = {**PROOFS, "never-promised": PROOFS["read-range"]}
    assert problems(PROMISES, proven, LATER) == ["a test names the unknown promise never-promised"]


@pytest.mark.parametrize("fault", sorted(FAULTS - set(LATER)))
def test_fault_without_a_promise_is_found(fault: int) -> None:
    rows = tuple(replace(row, fault=None) if row.fault == fault else row for row in PROMISES)
    assert problems(rows, PROOFS, LATER) == [f"fault {fault} has no promise"]


def test_double_row_is_found() -> None:
    assert problems((*PROMISES, PROMISES[0]), PROOFS, LATER) == [f"promise {PROMISES[0].id} stands twice in the table"]


def test_shortfalls_saboteurs_and_capabilities_name_what_exists() -> None:
    assert {kind for kind, _ in SHORTFALLS} <= set(KINDS)
    assert {promise_id for _, promise_id in SHORTFALLS} <= set(BY_ID)
    assert {promise_id for saboteur in SABOTEURS for promise_id in saboteur.caught_by} <= set(BY_ID)
    assert {capability for row in PROMISES for capability in row.capability} <= set(REFUSALS)
