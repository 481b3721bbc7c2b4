"""Foreign errors: none is unmapped, none lets text through, and nothing but absence reads as absence."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import aiohttp
import pytest
import requests
from google.api_core import exceptions as api
from google.auth import exceptions as auth

from stow.drivers.google.translate import BY_CODE, answer_error, code_of, may_have_happened, sdk_error
from stow.errors import (
    AccessDeniedError,
    BackendError,
    BackendFailedError,
    BackendThrottledError,
    BackendTimeoutError,
    BackendUnreachableError,
    ChecksumMismatchError,
    ContainerNotEmptyError,
    ContainerNotFoundError,
    ContainerTakenError,
    CredentialsInvalidError,
    InvalidSpecError,
    NotFoundError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StowError,
    UnsupportedError,
)
from stow.transport.faults import NOT_EMPTY, TAKEN, AnswerError

CANARY = "CANARY-of-the-backend"


def _family(root: type[BaseException]) -> Iterator[type[BaseException]]:
    yield root
    for child in root.__subclasses__():
        yield from _family(child)


def _bare(kind: type[BaseException]) -> BaseException:
    """An instance without its constructor, whose arguments all differ; the mapping goes by type alone."""
    made = kind.__new__(kind)
    made.args = (CANARY,)
    made.__dict__.setdefault("_retryable", False)
    return made


def _sorted(root: type[BaseException]) -> list[type[BaseException]]:
    return sorted(set(_family(root)), key=lambda kind: (kind.__module__, kind.__name__))


FOREIGN = [
    *_sorted(aiohttp.ClientError),
    *_sorted(auth.GoogleAuthError),
    *(kind for kind in _sorted(api.GoogleAPIError) if kind is not api.NotFound),
    *_sorted(requests.exceptions.RequestException),
    OSError,
    TimeoutError,
]


@pytest.mark.parametrize("kind", FOREIGN)
def test_every_foreign_exception_becomes_one_of_ours_that_says_nothing_about_presence(
    kind: type[BaseException],
) -> None:
    error = sdk_error(_bare(kind))
    assert isinstance(error, StowError)
    assert type(error) is not StowError
    assert not isinstance(error, NotFoundError)
    assert CANARY not in repr(error) + str(error.__dict__)


@pytest.mark.parametrize(
    ("exc", "expected"),
    [
        (auth.RefreshError(CANARY), CredentialsInvalidError),
        (auth.RefreshError(CANARY, retryable=True), BackendFailedError),
        (auth.TransportError(CANARY), BackendUnreachableError),
        (auth.TimeoutError(CANARY), BackendTimeoutError),
        (auth.DefaultCredentialsError(CANARY), CredentialsInvalidError),
        (api.Forbidden(CANARY), AccessDeniedError),
        (api.NotFound(CANARY), NotFoundError),
        (api.ServiceUnavailable(CANARY), BackendThrottledError),
        (requests.exceptions.ConnectionError(CANARY), BackendUnreachableError),
        (requests.exceptions.InvalidURL(CANARY), InvalidSpecError),
        (AnswerError(404, "NoSuchBucket"), ContainerNotFoundError),
        (PreconditionFailedError("ours"), PreconditionFailedError),
    ],
)
def test_an_exception_has_its_meaning(exc: BaseException, expected: type[StowError]) -> None:
    error = sdk_error(exc)
    assert type(error) is expected
    assert CANARY not in str(error)


@pytest.mark.parametrize("bug", [KeyError("x"), asyncio.CancelledError(), AttributeError("x")])
def test_a_bug_is_not_dressed_up(bug: BaseException) -> None:
    assert sdk_error(bug) is None


@pytest.mark.parametrize("code", sorted(BY_CODE))
def test_every_known_code_is_one_of_ours(code: str) -> None:
    error = answer_error(AnswerError(400, code))
    assert isinstance(error, StowError)
    assert error.message
    if isinstance(error, NotFoundError):
        assert code in {"NoSuchKey", "NoSuchBucket"}


@pytest.mark.parametrize("status", [*range(300, 309), *range(400, 452), *range(500, 512), 599])
@pytest.mark.parametrize("code", [None, "somethingNew"])
def test_an_unknown_code_has_a_default_by_its_status(status: int, code: str | None) -> None:
    error = answer_error(AnswerError(status, code))
    assert type(error) is not StowError
    assert isinstance(error, NotFoundError) == (status == 404)
    assert error.status == status


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (AnswerError(404, "NoSuchKey"), ObjectNotFoundError),
        (AnswerError(404, "notFound"), NotFoundError),
        (AnswerError(403, "retentionPolicyNotMet"), AccessDeniedError),
        (AnswerError(403, "rateLimitExceeded"), BackendThrottledError),
        (AnswerError(403, "AccessDenied"), AccessDeniedError),
        (AnswerError(401, "authError"), CredentialsInvalidError),
        (AnswerError(400, "UserProjectMissing"), UnsupportedError),
        (AnswerError(400, "userProjectMissing"), UnsupportedError),
        (AnswerError(400, "BadDigest"), ChecksumMismatchError),
        (AnswerError(412, "conditionNotMet"), PreconditionFailedError),
        (AnswerError(412, "orgPolicyConstraintFailed"), AccessDeniedError),
        (AnswerError(429, None), BackendThrottledError),
        (AnswerError(503, "backendError"), BackendFailedError),
        (AnswerError(307, None), BackendError),
    ],
)
def test_an_answer_has_its_meaning(answer: AnswerError, expected: type[StowError]) -> None:
    assert type(answer_error(answer)) is expected


def test_a_conflict_means_what_was_asked() -> None:
    """Fault 6: a 409 is never "already mine"."""
    for code in ("conflict", None, "somethingNew"):
        assert type(answer_error(AnswerError(409, code), conflict=TAKEN)) is ContainerTakenError
        assert type(answer_error(AnswerError(409, code), conflict=NOT_EMPTY)) is ContainerNotEmptyError
        assert type(answer_error(AnswerError(409, code))) is BackendFailedError


def test_an_absent_object_fails_the_condition_and_an_absent_bucket_does_not() -> None:
    assert type(answer_error(AnswerError(404, "NoSuchKey"), conditional=True)) is PreconditionFailedError
    assert type(answer_error(AnswerError(404, "NoSuchBucket"), conditional=True)) is ContainerNotFoundError
    assert type(answer_error(AnswerError(404), container_only=True)) is ContainerNotFoundError


@pytest.mark.parametrize(
    ("status", "code"), [(500, "internalError"), (502, None), (504, "gatewayTimeout"), (500, "InternalError")]
)
def test_a_failure_on_the_way_may_have_happened(status: int, code: str | None) -> None:
    assert may_have_happened(AnswerError(status, code)) == (code != "gatewayTimeout")


def json_error(**error: object) -> bytes:
    return json.dumps({"error": error}).encode()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>", "NoSuchKey"),
        (json_error(errors=[{"reason": "notFound"}]), "notFound"),
        (json_error(status="PERMISSION_DENIED"), "PERMISSIONDENIED"),
        (json_error(errors=[{"reason": "a b"}]), None),
        (json_error(errors=[{"reason": "x" * 65}]), None),
        (json_error(errors=[{"reason": 7}]), None),
        (json_error(errors=[]), None),
        (json_error(), None),
        (b'{"error": "invalid_grant"}', None),
        (b'{"error": []}', None),
        (b"[]", None),
        (b"{", None),
        (b"Not Found", None),
        (b"", None),
    ],
)
def test_a_code_is_read_out_of_both_apis_errors_and_nothing_else(body: bytes, code: str | None) -> None:
    assert code_of(body) == code
