"""Foreign errors: none is unmapped, none lets text through, and nothing but absence reads as absence."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from keystoneauth1 import exceptions as sdk
from keystoneauth1.exceptions.base import ClientException

from stow.drivers.swift.translate import answer_error, auth_error, may_have_happened, sdk_error
from stow.errors import (
    AccessDeniedError,
    BackendError,
    BackendFailedError,
    BackendThrottledError,
    BackendTimeoutError,
    ChecksumMismatchError,
    ContainerNotFoundError,
    CredentialsInvalidError,
    InvalidKeyError,
    InvalidSpecError,
    LimitExceededError,
    NotFoundError,
    PreconditionFailedError,
    RangeNotSatisfiableError,
    StowError,
    UnsupportedError,
)
from stow.transport.faults import AnswerError

CANARY = "CANARY-of-the-backend"


def _family(root: type[BaseException]) -> Iterator[type[BaseException]]:
    yield root
    for child in root.__subclasses__():
        yield from _family(child)


FAMILY = sorted(set(_family(ClientException)), key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", FAMILY)
def test_every_exception_of_the_sdk_becomes_one_of_ours_that_says_nothing_about_presence(
    kind: type[BaseException],
) -> None:
    made = kind.__new__(kind)
    made.args = (CANARY,)
    error = sdk_error(made)
    assert isinstance(error, StowError)
    assert type(error) is not StowError
    assert not isinstance(error, NotFoundError)
    assert CANARY not in repr(error) + str(error.__dict__)


def test_the_family_is_the_sdks() -> None:
    assert sdk.Unauthorized in FAMILY
    assert len(FAMILY) > 50


def test_a_bug_stays_one() -> None:
    assert sdk_error(ZeroDivisionError()) is None
    assert sdk_error(asyncio.CancelledError()) is None


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (301, BackendError),
        (400, BackendError),
        (401, CredentialsInvalidError),
        (403, AccessDeniedError),
        (404, NotFoundError),
        (405, UnsupportedError),
        (408, BackendTimeoutError),
        (409, BackendFailedError),
        (411, BackendError),
        (412, PreconditionFailedError),
        (413, LimitExceededError),
        (414, InvalidKeyError),
        (416, RangeNotSatisfiableError),
        (418, BackendError),
        (422, ChecksumMismatchError),
        (429, BackendThrottledError),
        (498, BackendThrottledError),
        (499, BackendTimeoutError),
        (500, BackendFailedError),
        (503, BackendThrottledError),
        (504, BackendTimeoutError),
        (507, LimitExceededError),
        (599, BackendFailedError),
    ],
)
def test_swifts_statuses(status: int, expected: type[StowError]) -> None:
    error = answer_error(AnswerError(status=status))
    assert type(error) is expected
    assert error.status == status


def test_a_404_of_a_containers_request_means_the_container() -> None:
    assert type(answer_error(AnswerError(status=404), container_only=True)) is ContainerNotFoundError


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (300, InvalidSpecError),
        (400, CredentialsInvalidError),
        (401, CredentialsInvalidError),
        (403, AccessDeniedError),
        (404, InvalidSpecError),
        (405, InvalidSpecError),
        (429, BackendThrottledError),
        (500, BackendFailedError),
        (503, BackendThrottledError),
    ],
)
def test_keystones_statuses(status: int, expected: type[StowError]) -> None:
    """Nothing that Keystone says is about containers or objects."""
    assert type(auth_error(AnswerError(status=status))) is expected


@pytest.mark.parametrize(
    ("status", "retry_after_s", "expected"),
    [(500, None, True), (502, None, True), (503, None, True), (503, 1.0, False), (504, None, True), (507, None, False)],
)
def test_which_failures_of_a_write_may_have_been_done(status: int, retry_after_s: float | None, expected: bool) -> None:
    assert may_have_happened(AnswerError(status=status, retry_after_s=retry_after_s)) is expected
