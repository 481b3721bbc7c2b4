"""Foreign errors: none is unmapped, none lets text through, and nothing but absence reads as absence."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator

import aiohttp
import azure.identity
import pytest
from azure.core import exceptions as core
from azure.storage.blob import StorageErrorCode

from drivers.azure.setup import KEY, body, stub_driver, to_sign
from servers.stub import http, serve
from stow.drivers.azure.translate import BY_CODE, answer_error, may_have_happened, sdk_error
from stow.errors import (
    AccessDeniedError,
    BackendError,
    ContainerNotFoundError,
    ContainerTakenError,
    CredentialsInvalidError,
    InvalidInputError,
    NotFoundError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StowError,
)
from stow.storage.model import CopyOptions, WriteOptions
from stow.transport.faults import AnswerError

CANARY = "CANARY-of-the-backend"
DEFAULTS = frozenset(
    # Codes of operations that this driver never sends (leases, page and append blobs, tiers, accounts, incremental copies), of files
    # and queues, and those whose status says enough.
    {
        "AccountAlreadyExists", "AccountBeingCreated", "AppendPositionConditionNotMet",
        "BlobAccessTierNotSupportedForAccountType", "BlobNotArchived", "BlobOverwritten",
        "BlobTierInadequateForContentLength", "CannotChangeToLowerTier", "CopyAcrossAccountsNotSupported",
        "CopyIdMismatch", "IncrementalCopyBlobMismatch", "IncrementalCopyOfEarlierSnapshotNotAllowed",
        "IncrementalCopyOfEarlierVersionSnapshotNotAllowed", "IncrementalCopySourceMustBeSnapshot",
        "InfiniteLeaseDurationRequired", "InvalidBlobTier", "InvalidMarker", "InvalidOperation", "InvalidPageRange",
        "InvalidRange", "InvalidSourceBlobType", "InvalidSourceBlobUrl", "InvalidVersionForPageBlobOperation",
        "InvalidXmlNodeValue", "LeaseAlreadyBroken", "LeaseAlreadyPresent", "LeaseIdMismatchWithLeaseOperation",
        "LeaseIsBreakingAndCannotBeAcquired", "LeaseIsBreakingAndCannotBeChanged", "LeaseIsBrokenAndCannotBeRenewed",
        "LeaseNotPresentWithBlobOperation", "LeaseNotPresentWithContainerOperation",
        "LeaseNotPresentWithLeaseOperation", "MaxBlobSizeConditionNotMet", "MissingRequiredQueryParameter",
        "MissingRequiredXmlNode", "MultipleConditionHeadersNotSupported", "NoPendingCopyOperation",
        "OperationNotAllowedOnIncrementalCopyBlob", "PreviousSnapshotCannotBeNewer", "PreviousSnapshotNotFound",
        "PreviousSnapshotOperationNotSupported", "ResourceAlreadyExists", "SequenceNumberConditionNotMet",
        "SequenceNumberIncrementTooLarge", "SnapshotCountExceeded", "SystemInUse", "UnsupportedXmlNode",
    }
)  # fmt: skip


def _family(root: type[BaseException]) -> Iterator[type[BaseException]]:
    yield root
    for child in root.__subclasses__():
        yield from _family(child)


def _bare(kind: type[BaseException]) -> BaseException:
    """An instance without its constructor, whose arguments all differ; the mapping goes by type alone."""
    made = kind.__new__(kind)
    made.args = (CANARY,)
    return made


FOREIGN = sorted(
    {*_family(core.AzureError), *_family(aiohttp.ClientError)}, key=lambda kind: f"{kind.__module__}.{kind.__name__}"
)


@pytest.mark.parametrize(
    "kind", [*FOREIGN, OSError, TimeoutError, ConnectionResetError], ids=lambda kind: kind.__name__
)
def test_every_foreign_exception_becomes_one_of_ours_that_says_nothing_about_presence(
    kind: type[BaseException],
) -> None:
    error = sdk_error(_bare(kind))
    assert isinstance(error, StowError)
    assert type(error) is not StowError
    assert not isinstance(error, NotFoundError)
    assert CANARY not in repr(error)


@pytest.mark.parametrize("bug", [KeyError("x"), AssertionError(), TypeError()])
def test_a_bug_stays_a_bug(bug: BaseException) -> None:
    assert sdk_error(bug) is None


def test_no_exception_of_azure_identity_is_forgotten() -> None:
    theirs = {
        thing for thing in vars(azure.identity).values() if inspect.isclass(thing) and issubclass(thing, BaseException)
    }
    assert theirs <= set(FOREIGN)


def test_every_code_of_blobs_that_the_sdk_knows_is_mapped_or_left_to_its_status() -> None:
    blobs = []
    for code in StorageErrorCode:
        if code.value == "MessageNotFound":  # from here on they are those of queues, files and data lakes
            break
        blobs.append(code.value)
    assert len(blobs) > 80
    assert {code for code in blobs if code not in BY_CODE} <= DEFAULTS
    assert not DEFAULTS & set(BY_CODE)


@pytest.mark.parametrize("code", [*BY_CODE, None, "NewCode"])
@pytest.mark.parametrize("status", [400, 403, 404, 409, 412, 500, 503])
def test_only_a_code_or_a_404_says_absent(code: str | None, status: int) -> None:
    error = answer_error(AnswerError(status, code))
    assert type(error) is not StowError
    absent = code in {"BlobNotFound", "PathNotFound", "ContainerNotFound", "FilesystemNotFound"}
    assert isinstance(error, NotFoundError) == (absent or (status == 404 and code in {None, "NewCode"}))


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (404, "BlobNotFound", ObjectNotFoundError),
        (404, "ContainerNotFound", ContainerNotFoundError),
        (404, "ResourceNotFound", AccessDeniedError),
        (409, "ContainerAlreadyExists", ContainerTakenError),
        (409, "BlobAlreadyExists", PreconditionFailedError),
        (412, "ConditionNotMet", PreconditionFailedError),
        (412, "LeaseIdMissing", BackendError),
        (409, "ContainerBeingDeleted", BackendError),
        (403, "AuthenticationFailed", CredentialsInvalidError),
        (403, "AuthorizationPermissionMismatch", AccessDeniedError),
        (403, "AuthorizationFailure", AccessDeniedError),
        (401, None, CredentialsInvalidError),
        (400, "InvalidResourceName", InvalidInputError),
    ],
)
def test_codes(status: int, code: str | None, expected: type[StowError]) -> None:
    error = answer_error(AnswerError(status, code))
    assert isinstance(error, expected)
    assert error.status == status


def test_a_lease_is_no_failed_condition() -> None:
    assert not isinstance(answer_error(AnswerError(412, "LeaseIdMissing"), conditional=True), PreconditionFailedError)


def test_an_absent_object_fails_its_condition() -> None:
    assert isinstance(answer_error(AnswerError(404, "BlobNotFound"), conditional=True), PreconditionFailedError)


@pytest.mark.parametrize(
    ("status", "code", "open_"),
    [
        (500, None, True),
        (500, "InternalError", True),
        (500, "OperationTimedOut", True),
        (504, None, True),
        (503, "ServerBusy", False),
        (409, "BlobAlreadyExists", False),
    ],
)
def test_which_refusals_leave_a_write_open(status: int, code: str | None, open_: bool) -> None:
    assert may_have_happened(AnswerError(status, code)) is open_


@pytest.mark.parametrize("status", [400, 403, 404, 409, 412, 500, 503])
async def test_nothing_secret_is_told_or_logged(status: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    document = f"<Error><Code>{CANARY}</Code><Message>{CANARY}</Message></Error>".encode()
    async with serve(lambda _: http(status, document, x_ms_error_code=CANARY, x_own=CANARY)) as stub:
        driver = stub_driver(f"{stub.endpoint}/acct")
        told = [repr(driver), repr(KEY)]
        for call in (
            driver.head("box", "k"),
            driver.list("box", prefix="", delimiter=None, limit=1, token=None),
            driver.read("box", "k", None),
            driver.write("box", "k", body(b"x"), size_bytes=1, options=WriteOptions()),
            driver.write("box", "k", body(b"x"), size_bytes=None, options=WriteOptions()),
            driver.copy(("box", "k"), ("box", "k2"), CopyOptions()),
            driver.delete("box", "k", if_match=None),
            driver.create_container("box", None),
            driver.read_marker("box"),
            driver.container_contents("box"),
        ):
            with pytest.raises(StowError) as raised:
                await call
            told += [repr(raised.value), raised.value.message]
        signed = await driver.sign(to_sign("box", "k"))
        told.append(repr(signed))
        await driver.aclose()
    text = "".join([*told, caplog.text])
    assert CANARY not in text
    assert KEY.account_key not in text
    assert "SharedKey" not in caplog.text
    assert "sig=" not in text
