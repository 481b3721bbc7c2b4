"""Errors to answers: the table covers the whole tree, and no document can leak."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from stow import errors
from stow.errors import RangeNotSatisfiableError, StowError
from stow.gateway.problems import RETRY_AFTER_S, STATUS, Code, Refusal, internal, problem_of


def tree(kind: type[StowError] = StowError) -> Iterator[type[StowError]]:
    yield kind
    for each in kind.__subclasses__():
        if each.__module__ == "stow.errors":
            yield from tree(each)


def test_every_error_of_the_tree_has_its_own_status() -> None:
    assert set(STATUS) == set(tree())


@pytest.mark.parametrize("kind", list(tree()), ids=lambda kind: kind.__name__)
def test_a_status_suits_the_kind_of_error(kind: type[StowError]) -> None:
    status = STATUS[kind]
    if issubclass(kind, (errors.BackendError, errors.ControlPlaneError)):
        assert status in {502, 503, 504}
    elif issubclass(kind, errors.NotFoundError):
        assert status == 404
    elif issubclass(kind, errors.BodyError):
        assert status == 400
    assert status != 401
    assert status not in {200, 404} or issubclass(kind, errors.NotFoundError)


def test_backend_trouble_never_reads_as_absence_or_as_the_clients_fault() -> None:
    for kind in tree():
        if (
            issubclass(kind, (errors.BackendError, errors.CredentialsError))
            and kind is not errors.SignedURLExpiredError
        ):
            assert STATUS[kind] >= 500, kind


@pytest.mark.parametrize("code", list(Code))
def test_a_refusal_becomes_its_status_with_retry_after_where_trying_again_helps(code: Code) -> None:
    problem = problem_of(Refusal(code, "what to do"))
    assert (problem.status, problem.code) == (code.status, code.text)
    assert ("Retry-After" in problem.headers) == (code.status in RETRY_AFTER_S)
    document = json.loads(problem.document())
    assert document["type"] == f"urn:stow:problem:{code.text}"
    assert document["detail"] == "what to do"
    assert document["status"] == code.status


def test_no_two_refusals_share_a_code() -> None:
    assert len({code.text for code in Code}) == len(Code)


def test_an_unsatisfiable_range_says_the_size() -> None:
    assert problem_of(RangeNotSatisfiableError("no", size_bytes=7)).headers["Content-Range"] == "bytes */7"
    assert "Content-Range" not in problem_of(RangeNotSatisfiableError("no")).headers


def test_an_unforeseen_error_says_nothing_but_that() -> None:
    document = json.loads(internal().document())
    assert document.keys() == {"type", "title", "status", "code", "detail"}
    assert internal().close
