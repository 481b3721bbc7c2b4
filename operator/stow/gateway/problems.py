"""What goes wrong, as clients see it: RFC 9457 problem documents with a stable ``code``.

:data:`STATUS` maps the whole error tree; a test holds it against ``errors.py``. :class:`Refusal` is for what only HTTP knows. A document
holds our own text and the names that the client sent, never an exception's text of unknown origin.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import Final

from stow import errors
from stow.errors import StowError

CONTENT_TYPE: Final = "application/problem+json"
CODE_HEADER: Final = "Stow-Error-Code"

STATUS: Final[Mapping[type[StowError], int]] = {
    errors.StowError: 500,
    errors.InvalidInputError: 400,
    errors.InvalidKeyError: 400,
    errors.InvalidContainerNameError: 400,
    errors.InvalidReferenceError: 400,
    errors.InvalidCursorError: 400,
    errors.InvalidMetadataError: 400,
    errors.InvalidArgumentError: 400,
    errors.InvalidSpecError: 503,  # of a custom resource: not this client's fault
    errors.NotFoundError: 404,
    errors.ObjectNotFoundError: 404,
    errors.ContainerNotFoundError: 404,
    errors.ContainerNotAllowedError: 403,
    errors.ContainerTakenError: 409,
    errors.ContainerNotEmptyError: 409,
    errors.PreconditionFailedError: 412,
    errors.NotModifiedError: 304,
    errors.RangeNotSatisfiableError: 416,
    errors.BodyError: 400,
    errors.BodyTooShortError: 400,
    errors.BodyTooLongError: 400,
    errors.ChecksumMismatchError: 400,
    errors.LimitExceededError: 413,
    errors.UnsupportedError: 501,
    errors.CredentialsError: 502,  # all of these are the location's credentials; a client's own are a Refusal
    errors.CredentialsMissingError: 503,
    errors.CredentialsInvalidError: 502,
    errors.UnsupportedCredentialTypeError: 502,
    errors.AccessDeniedError: 502,
    errors.SignedURLExpiredError: 403,
    errors.AmbientCredentialsForbiddenError: 502,
    errors.CABundleMissingError: 503,
    errors.CABundleInvalidError: 502,
    errors.EndpointForbiddenError: 502,
    errors.LocalDisabledError: 503,
    errors.ControlPlaneError: 503,
    errors.ReviewUnavailableError: 503,  # nobody knows: never 401, never 403
    errors.BackendError: 502,
    errors.BackendUnreachableError: 503,
    errors.BackendTimeoutError: 504,
    errors.BackendThrottledError: 503,
    errors.BackendFailedError: 502,
    errors.WrongRegionError: 502,
    errors.IntegrityError: 502,
    errors.WriteOutcomeUnknownError: 502,  # no 503: nothing may retry it blindly
}

RETRY_AFTER_S: Final[Mapping[int, int]] = {429: 1, 503: 5}


class Code(Enum):
    """Refusals of the HTTP layer: stable code and status."""

    MALFORMED_REQUEST = ("malformed_request", 400)
    INVALID_PATH = ("invalid_path", 400)
    UNAUTHENTICATED = ("unauthenticated", 401)
    FORBIDDEN = ("forbidden", 403)
    NAMESPACE_NOT_ALLOWED = ("namespace_not_allowed", 403)
    SIGNATURE_REFUSED = ("signature_refused", 403)
    ROUTE_NOT_FOUND = ("route_not_found", 404)
    CONTAINER_NOT_FOUND = ("container_not_found", 404)
    LOCATION_NOT_FOUND = ("location_not_found", 404)
    METHOD_NOT_ALLOWED = ("method_not_allowed", 405)
    REQUEST_TIMEOUT = ("request_timeout", 408)
    CONTAINER_DELETING = ("container_deleting", 409)
    CONTAINER_STALLED = ("container_stalled", 409)
    LENGTH_REQUIRED = ("length_required", 411)
    DOCUMENT_TOO_LARGE = ("document_too_large", 413)
    URI_TOO_LONG = ("uri_too_long", 414)
    EXPECTATION_FAILED = ("expectation_failed", 417)
    TOO_MANY_REQUESTS = ("too_many_requests", 429)
    HEADERS_TOO_LARGE = ("headers_too_large", 431)
    INTERNAL = ("internal", 500)
    UNSUPPORTED_TRANSFER_CODING = ("unsupported_transfer_coding", 501)
    OVERLOADED = ("overloaded", 503)
    CONTAINER_NOT_READY = ("container_not_ready", 503)
    NOT_READY = ("not_ready", 503)

    @property
    def text(self) -> str:
        return self.value[0]

    @property
    def status(self) -> int:
        return self.value[1]


class Refusal(Exception):
    """A request that ends here. ``detail`` is for the client: what is wrong and what to do, in our words."""

    def __init__(
        self, code: Code, detail: str, *, headers: Mapping[str, str] | None = None, close: bool = False
    ) -> None:
        super().__init__(code.text)
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        self.close = close
        """The connection cannot go on, or should not."""


@dataclass(frozen=True, slots=True)
class Problem:
    """An answer that is not a success, ready to be sent."""

    status: int
    code: str
    detail: str
    headers: Mapping[str, str]
    container: str | None = None
    key: str | None = None
    close: bool = False

    def document(self) -> bytes:
        fields = {
            "type": f"urn:stow:problem:{self.code}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            "container": self.container,
            "key": self.key,
        }
        return json.dumps({name: value for name, value in fields.items() if value is not None}).encode() + b"\n"


def status_of(error: StowError) -> int:
    """The status of the nearest mapped class; every class of the tree is mapped itself, by test."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def problem_of(error: StowError | Refusal) -> Problem:
    """The answer to an error."""
    if isinstance(error, Refusal):
        status = error.code.status
        return Problem(status, error.code.text, error.detail, {**_retry(status), **error.headers}, close=error.close)
    status = status_of(error)
    headers = _retry(status)
    if isinstance(error, errors.RangeNotSatisfiableError) and error.size_bytes is not None:
        headers["Content-Range"] = f"bytes */{error.size_bytes}"
    return Problem(status, error.code, error.message, headers, error.container, error.key)


def internal() -> Problem:
    """For what nobody foresaw: says nothing but that."""
    return Problem(500, Code.INTERNAL.text, "The gateway met an error of its own; its log says more.", {}, close=True)


def _retry(status: int) -> dict[str, str]:
    return {"Retry-After": str(RETRY_AFTER_S[status])} if status in RETRY_AFTER_S else {}
