"""`docs/drivers.md` shows what the drivers declare, and which promises were proven on what: all of it made from data."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import pytest

import conformance.promised.all  # noqa: F401  registers the proofs
from conformance.drivers_page import (
    BROKEN,
    COLUMNS,
    DIRECT,
    HTTP,
    KEPT,
    NOT_PROMISED,
    REFUSED,
    cell,
    committed,
    committed_cells,
    declared,
    expected,
    expected_cells,
    forms,
    generated,
)
from conformance.kinds import SHORTFALLS
from conformance.table import BY_ID, KINDS, PROMISES
from stow.api.backend import Backend

PAGE = "drivers.md"
EXPECTED = expected_cells()


@pytest.mark.parametrize("name", sorted(generated(EXPECTED)))
def test_every_table_is_the_generated_one(name: str) -> None:
    """Rows, columns, capabilities, key rules, shortfalls: out of the code, without a run."""
    assert committed(name) == generated(EXPECTED)[name]


def test_committed_cells_are_read_back_as_they_were_written() -> None:
    assert committed_cells() == EXPECTED


def test_every_kind_of_the_suite_has_one_column() -> None:
    assert sorted(column.kind for column in COLUMNS if column.kind) == sorted(KINDS)


def test_every_text_of_a_promise_is_its_own() -> None:
    texts = [row.text for row in PROMISES]
    assert len(set(texts)) == len(texts)
    assert not [text for text in texts if "|" in text]


def test_a_cell_says_what_a_run_saw() -> None:
    column = next(column for column in COLUMNS if column.kind == "minio")
    row = next(row for row in PROMISES if forms(row) == (DIRECT, HTTP) and ("minio", row.id) not in SHORTFALLS)

    def shown(direct: str, http: str) -> str | None:
        return cell(column, row, {("minio", DIRECT, row.id): direct, ("minio", HTTP, row.id): http})

    assert cell(column, row, {("minio", DIRECT, row.id): KEPT}) is None
    assert shown(KEPT, KEPT) == "proven"
    assert shown(REFUSED, REFUSED) == NOT_PROMISED
    assert shown(KEPT, BROKEN) == f"proven / {BROKEN}"
    assert EXPECTED["s3 MinIO", "a-key-and-its-folder-coexist"].startswith("shortfall ")


def test_a_capability_that_is_taken_back_shows_in_the_table() -> None:
    column = next(column for column in COLUMNS if column.title == "local")
    capabilities = declared()["local"]
    assert expected(column, BY_ID["create-once"], capabilities) == "proven"
    assert expected(column, BY_ID["create-once"], replace(capabilities, create_once=False)) == NOT_PROMISED


def test_every_kind_of_location_has_a_section(manual: Any) -> None:
    for backend in get_args(Backend):
        manual.section(PAGE, "S3" if backend.member == "s3" else backend.member.capitalize())
