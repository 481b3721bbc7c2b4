"""May they: which rights an operation needs, and what a write becomes with only one of its two. Pure tables, no I/O.

Rights are Kubernetes RBAC: a verb on ``<resource>/<subresource>`` in a namespace, perhaps with ``resourceNames``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from stow.errors import PreconditionFailedError
from stow.gateway.headers import WriteConditions
from stow.gateway.problems import Code, Refusal
from stow.gateway.routes import Action, Family
from stow.storage.driver import Capabilities
from stow.storage.model import Method

OBJECTS: Final = "objects"
SIGN: Final = "sign"

RESOURCES: Final[Mapping[Family, str]] = MappingProxyType(
    {
        Family.CONTAINER: "stowcontainers",
        Family.LOCATION: "stowlocations",
        Family.CLUSTER_LOCATION: "clusterstowlocations",
    }
)


class Verb(StrEnum):
    """Operations, as the audit line and the metrics name them."""

    GET = "get"
    HEAD = "head"
    LIST = "list"
    PUT = "put"
    DELETE = "delete"
    SIGN = "sign"
    COPY = "copy"


@dataclass(frozen=True, slots=True)
class Right:
    """One verb on one subresource."""

    verb: str
    subresource: str = OBJECTS


CREATE: Final = Right("create")
UPDATE: Final = Right("update")
READ: Final = Right("get")
MAY_SIGN: Final = Right("create", SIGN)

NEEDED: Final[Mapping[Verb, tuple[Right, ...]]] = MappingProxyType(
    {
        Verb.GET: (READ,),
        Verb.HEAD: (READ,),
        Verb.LIST: (Right("list"),),
        Verb.DELETE: (Right("delete"),),
        Verb.PUT: (),  # one of CREATE and UPDATE: see decide_write
        Verb.COPY: (),  # the same on the destination, READ on the source
        Verb.SIGN: (MAY_SIGN,),  # and what the signed method needs: see SIGNED_NEEDS
    }
)
"""All of these, before anything else is looked at."""

SIGNED_NEEDS: Final[Mapping[Method, tuple[Right, ...]]] = MappingProxyType(
    {
        Method.GET: (READ,),
        Method.HEAD: (READ,),
        Method.DELETE: (Right("delete"),),
        Method.PUT: (CREATE, UPDATE),  # a URL carries no condition, so it may do both
    }
)


def verb_of(method: str, action: Action) -> Verb:
    """The operation of a request to a container route."""
    if action is Action.OBJECTS:
        return Verb.LIST
    return Verb(method.lower()) if action is Action.OBJECT else Verb(action.value)


@dataclass(frozen=True, slots=True)
class WriteRights:
    """What the review said about a write."""

    create: bool
    update: bool

    def __bool__(self) -> bool:
        return self.create or self.update


def decide_write(rights: WriteRights, asked: WriteConditions, capabilities: Capabilities) -> WriteConditions:
    """The conditions that a write goes out with.

    With ``create`` alone it may only create (``If-None-Match: *`` is added), with ``update`` alone only replace (``If-Match: *`` is added).

    Raises:
        Refusal: forbidden - neither right, the client asks for what the missing one would allow, or the backend knows no such condition.
    """
    if rights.create and rights.update:
        return asked
    if rights.create:
        if asked.if_match is not None:
            raise forbidden("You may create objects here, not replace them, and If-Match asks to replace one.")
        if not capabilities.create_once:
            raise forbidden(
                "You may create objects here, not replace them, and this backend cannot tell the two apart."
            )
        return WriteConditions(if_none_match=True)
    if rights.update:
        if asked.if_none_match:
            raise forbidden("You may replace objects here, not create them, and If-None-Match asks to create one.")
        if not capabilities.write_if_match:
            raise forbidden(
                "You may replace objects here, not create them, and this backend cannot tell the two apart."
            )
        return WriteConditions(if_match=asked.if_match or "*")
    raise forbidden("You may neither create nor update objects here.")


def explain(
    error: PreconditionFailedError, asked: WriteConditions, granted: WriteConditions
) -> PreconditionFailedError:
    """The error, in words for somebody who sent no such condition: it is there because a right is missing."""
    if asked == granted:
        return error
    what = (
        "exists already, and you may only create"
        if granted.if_none_match
        else "does not exist, and you may only replace"
    )
    return PreconditionFailedError(
        f"The object {what} objects here; nothing was stored.",
        operation=error.operation,
        container=error.container,
        key=error.key,
    )


def forbidden(detail: str) -> Refusal:
    return Refusal(Code.FORBIDDEN, detail)
