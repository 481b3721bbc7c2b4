"""Who a token belongs to and what somebody may do: the API server's own answers, asked anew each time.

Fails closed. A token counts only where the API server says that it was made for our audience; whatever is not a clear yes is a no, and no
answer at all is :class:`ReviewUnavailableError`. Tokens go into the request and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Generic, Protocol, TypeVar

from kubernetes.aio.client import ApiClient

from stow.api.meta import GROUP
from stow.errors import ControlPlaneError, InvalidArgumentError, ReviewUnavailableError
from stow.kube.rest import Requests

DEFAULT_AUDIENCE: Final = "stowstore.io"
KNOWN_API_AUDIENCES: Final = frozenset(
    {"api", "kubernetes.default.svc", "https://kubernetes.default.svc", "https://kubernetes.default.svc.cluster.local"}
)
"""What clusters call their API server by default: refused even where it cannot be asked."""
MAX_TOKEN_BYTES: Final = 65_536
"""The API server refuses requests with longer headers; a longer text is no token of it."""
_TOKEN_REVIEWS: Final = "/apis/authentication.k8s.io/v1/tokenreviews"  # noqa: S105 - a path, not a secret
_ACCESS_REVIEWS: Final = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
_DISCOVERY: Final = "/.well-known/openid-configuration"

I = TypeVar("I")  # noqa: E741 - the type of an identity
I_co = TypeVar("I_co", covariant=True)


class MakeIdentity(Protocol[I_co]):
    """Makes the caller's own type from what the API server said."""

    def __call__(
        self, *, user: str, uid: str, groups: tuple[str, ...], extra: Mapping[str, tuple[str, ...]]
    ) -> I_co: ...


class Reviewed(Protocol):
    """What an access review needs to know of somebody."""

    @property
    def user(self) -> str: ...
    @property
    def uid(self) -> str: ...
    @property
    def groups(self) -> tuple[str, ...]: ...
    @property
    def extra(self) -> Mapping[str, tuple[str, ...]]: ...


class TokenReviewer(Generic[I]):
    """Asks for one audience. ``identity`` makes the answer's type."""

    def __init__(self, request: Requests, identity: MakeIdentity[I], *, audience: str = DEFAULT_AUDIENCE) -> None:
        self._request = request
        self._identity = identity
        self._audience = audience

    async def review(self, token: str) -> I | None:
        """Whose token it is; None when it is not valid for our audience.

        Raises:
            ReviewUnavailableError: the API server did not say.
        """
        if not token or len(token) > MAX_TOKEN_BYTES:
            return None
        status = await _review(self._request, _TOKEN_REVIEWS, "TokenReview", token=token, audiences=[self._audience])
        # An authenticator that knows nothing of audiences leaves them out: then the token is the API server's, not ours.
        if status.get("authenticated") is not True or self._audience not in _texts(status.get("audiences")):
            return None
        user = status.get("user")
        if not isinstance(user, Mapping) or not isinstance(user.get("username"), str) or not user["username"]:
            return None
        extra = user.get("extra")
        return self._identity(
            user=user["username"],
            uid=str(user.get("uid") or ""),
            groups=_texts(user.get("groups")),
            extra={str(k): _texts(v) for k, v in extra.items()} if isinstance(extra, Mapping) else {},
        )


class AccessReviewer:
    """Asks whether somebody may do something with resources of the group stowstore.io."""

    def __init__(self, request: Requests) -> None:
        self._request = request

    async def allowed(
        self, identity: Reviewed, *, verb: str, resource: str, subresource: str, namespace: str, name: str
    ) -> bool:
        """Whether the API server's authorizer says a clear yes. An empty ``namespace`` asks for the whole cluster.

        Raises:
            ReviewUnavailableError: it did not say.
        """
        attributes = {
            "group": GROUP,
            "verb": verb,
            "resource": resource,
            "subresource": subresource,
            "namespace": namespace,
            "name": name,
        }
        status = await _review(
            self._request,
            _ACCESS_REVIEWS,
            "SubjectAccessReview",
            user=identity.user,
            uid=identity.uid,
            groups=list(identity.groups),
            extra={key: list(values) for key, values in identity.extra.items()},
            resourceAttributes={key: value for key, value in attributes.items() if value},
        )
        return status.get("allowed") is True and status.get("denied") is not True


async def _review(request: Requests, path: str, kind: str, **spec: object) -> Mapping[str, Any]:
    group = path.split("/")[2]
    body = {"apiVersion": f"{group}/v1", "kind": kind, "spec": spec}
    try:
        answer = await request("POST", path, body=body)
    except ControlPlaneError as exc:
        raise ReviewUnavailableError(
            f"The API server could not be asked for a {kind}; try again. If it lasts: this process needs the right to create them.",
            status=exc.status,
        ) from exc
    status = answer.get("status")
    return status if isinstance(status, Mapping) else {}


async def api_server_audiences(request: Requests, *, own_token: str | None) -> frozenset[str]:
    """What the API server calls itself. With a token of our own it says so; without one (client certificates) its issuer, which is the
    default audience, is taken.

    Raises:
        ReviewUnavailableError: it could not be asked.
    """
    if own_token:
        status = await _review(request, _TOKEN_REVIEWS, "TokenReview", token=own_token)
        found = _texts(status.get("audiences"))
    else:
        try:
            issuer = (await request("GET", _DISCOVERY)).get("issuer")
        except ControlPlaneError as exc:
            raise ReviewUnavailableError(
                "The API server could not be asked for its issuer.", status=exc.status
            ) from exc
        found = _texts([issuer])
    return KNOWN_API_AUDIENCES | frozenset(found)


def own_token(api: ApiClient) -> str | None:
    """The bearer token of this connection, where it has one."""
    value = api.configuration.api_key.get("BearerToken") or api.configuration.api_key.get("authorization")
    return value.removeprefix("Bearer ").strip() or None if isinstance(value, str) else None


def check_audience(audience: str, api_audiences: frozenset[str]) -> None:
    """Refuse the API server's own audience: whoever receives such tokens could replay them against the API server.

    Raises:
        InvalidArgumentError
    """
    if not audience or audience in api_audiences:
        raise InvalidArgumentError(
            f"The audience of the object API must not be empty or the API server's own: tokens that clients send here could be used "
            f"against the API server. Choose another one with --audience, for example {DEFAULT_AUDIENCE}."
        )


def _texts(values: object) -> tuple[str, ...]:
    return tuple(each for each in values if isinstance(each, str)) if isinstance(values, (list, tuple)) else ()
