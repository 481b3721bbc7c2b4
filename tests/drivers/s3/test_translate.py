"""Foreign errors: none is unmapped, none lets text through, and nothing but absence reads as absence."""

from __future__ import annotations

import asyncio
import inspect
import ssl
from collections.abc import Iterator

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from botocore import exceptions as sdk

from stow.drivers.s3.translate import BY_CODE, answer_error, may_have_happened, sdk_error
from stow.errors import (
    BackendError,
    BackendFailedError,
    BackendTimeoutError,
    BackendUnreachableError,
    ContainerNotFoundError,
    CredentialsInvalidError,
    CredentialsMissingError,
    NotFoundError,
    ObjectNotFoundError,
    PreconditionFailedError,
    RangeNotSatisfiableError,
    StowError,
    WrongRegionError,
)
from stow.transport.faults import BY_STATUS, AnswerError

CANARY = "CANARY-of-the-backend"


def _family(root: type[BaseException]) -> Iterator[type[BaseException]]:
    yield root
    for child in root.__subclasses__():
        yield from _family(child)


def _bare(kind: type[BaseException]) -> BaseException:
    """An instance without its constructor, whose arguments all differ; the mapping goes by type alone."""
    made = kind.__new__(kind)
    made.args = (CANARY,)
    return made


AIOHTTP = sorted(set(_family(aiohttp.ClientError)), key=lambda kind: kind.__name__)
BOTOCORE = sorted(set(_family(sdk.BotoCoreError)), key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", AIOHTTP + BOTOCORE + [OSError, TimeoutError, ConnectionResetError, ssl.SSLError])
def test_every_foreign_exception_becomes_one_of_ours_that_says_nothing_about_presence(
    kind: type[BaseException],
) -> None:
    error = sdk_error(_bare(kind))
    assert isinstance(error, StowError)
    assert type(error) is not StowError
    assert not isinstance(error, NotFoundError)
    assert CANARY not in repr(error) + str(error.__dict__)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (aiohttp.ClientConnectorError, BackendUnreachableError),
        (aiohttp.ClientConnectorDNSError, BackendUnreachableError),
        (aiohttp.ClientConnectorCertificateError, BackendUnreachableError),
        (aiohttp.ServerDisconnectedError, BackendUnreachableError),
        (aiohttp.ClientPayloadError, BackendUnreachableError),
        (aiohttp.ServerTimeoutError, BackendTimeoutError),
        (aiohttp.ConnectionTimeoutError, BackendTimeoutError),
        (aiohttp.SocketTimeoutError, BackendTimeoutError),
        (TimeoutError, BackendTimeoutError),
        (aiohttp.ClientResponseError, BackendFailedError),
        (sdk.NoCredentialsError, CredentialsMissingError),
        (sdk.CredentialRetrievalError, CredentialsInvalidError),
        (sdk.ConnectTimeoutError, BackendTimeoutError),
        (sdk.ReadTimeoutError, BackendTimeoutError),
        (sdk.EndpointConnectionError, BackendUnreachableError),
        (sdk.BotoCoreError, BackendFailedError),
    ],
)
def test_well_known_exceptions_have_their_own_error(kind: type[BaseException], expected: type[StowError]) -> None:
    assert type(sdk_error(_bare(kind))) is expected


def test_the_sdks_answer_errors_go_by_their_code() -> None:
    response = {"Error": {"Code": "NoSuchBucket", "Message": CANARY}, "ResponseMetadata": {"HTTPStatusCode": 404}}
    error = sdk_error(sdk.ClientError(response, "HeadBucket"))
    assert type(error) is ContainerNotFoundError
    assert CANARY not in repr(error)


@pytest.mark.parametrize("exc", [asyncio.CancelledError(), KeyboardInterrupt(), ZeroDivisionError()])
def test_cancellation_and_bugs_are_not_translated(exc: BaseException) -> None:
    assert sdk_error(exc) is None


@pytest.mark.parametrize("status", range(300, 600))
def test_every_status_has_an_error_and_only_404_is_absence(status: int) -> None:
    error = answer_error(AnswerError(status=status))
    assert isinstance(error, StowError)
    assert error.status == status
    assert isinstance(error, NotFoundError) == (status == 404)
    assert type(error) is not ObjectNotFoundError


@pytest.mark.parametrize("code", sorted(BY_CODE))
@pytest.mark.parametrize("status", [400, 403, 404, 409, 500, 503])
def test_every_code_decides_whatever_the_status(code: str, status: int) -> None:
    error = answer_error(AnswerError(status=status, code=code))
    assert type(error) is BY_CODE[code][0]
    assert (type(error) in {ObjectNotFoundError, ContainerNotFoundError}) == code.startswith(
        "NoSuch"
    ) or code == "NoSuchUpload"


def test_an_unknown_code_falls_back_to_the_status() -> None:
    for status, (expected, _) in BY_STATUS.items():
        assert type(answer_error(AnswerError(status=status, code="NeverHeardOf"))) is expected
    assert type(answer_error(AnswerError(status=599, code="NeverHeardOf"))) is BackendFailedError
    assert type(answer_error(AnswerError(status=418))) is BackendError


def test_what_was_asked_decides_what_an_absence_means() -> None:
    plain = AnswerError(status=404)
    assert type(answer_error(plain)) is NotFoundError
    assert type(answer_error(plain, container_only=True)) is ContainerNotFoundError
    assert type(answer_error(plain, conditional=True)) is PreconditionFailedError
    assert type(answer_error(AnswerError(404, "NoSuchKey"), conditional=True)) is PreconditionFailedError
    assert type(answer_error(AnswerError(404, "NoSuchBucket"), conditional=True)) is ContainerNotFoundError


def test_an_unsatisfiable_range_brings_the_size() -> None:
    error = answer_error(AnswerError(416, "InvalidRange", size_bytes=7))
    assert isinstance(error, RangeNotSatisfiableError)
    assert error.size_bytes == 7


def test_another_region_wins_over_the_status() -> None:
    assert type(answer_error(AnswerError(301, wrong_region=True))) is WrongRegionError
    assert type(answer_error(AnswerError(400, "AuthorizationHeaderMalformed"))) is WrongRegionError


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (AnswerError(500), True),
        (AnswerError(500, "InternalError"), True),
        (AnswerError(502), True),
        (AnswerError(504), True),
        (AnswerError(503), False),
        (AnswerError(500, "PreconditionFailed"), False),
        (AnswerError(500, "SlowDown"), False),
        (AnswerError(403), False),
        (AnswerError(412), False),
    ],
)
def test_which_answers_leave_a_write_open(answer: AnswerError, expected: bool) -> None:
    assert may_have_happened(answer) is expected


def test_a_real_connector_error_keeps_its_host_to_itself() -> None:
    key = ConnectionKey(CANARY, 443, True, True, None, None, None)
    error = sdk_error(aiohttp.ClientConnectorError(key, OSError(111, CANARY)))
    assert error is not None
    assert CANARY not in repr(error)


def test_the_families_were_really_walked() -> None:
    assert len(AIOHTTP) > 20
    assert len(BOTOCORE) > 80
    assert all(inspect.isclass(kind) for kind in AIOHTTP + BOTOCORE)
