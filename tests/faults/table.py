"""The one table: what each fault comes to, by group of operations. Kinds override single cells, with a reason (`kinds.py`).

The rules that the cells follow: only idempotent, unconditional requests are repeated (GET, HEAD, DELETE: three attempts in all), never a
timeout, never sooner than ``Retry-After`` asks and not at all where that is behind the deadline; writes and copies go out once; a
write whose answer is lost after all of it was sent is looked for once, by its nonce, and else its outcome is unknown. A part of an upload
that is held in memory may be sent again: it replaces itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from email.utils import format_datetime
from typing import Final

from faults.harm import CutAnswer, FlipAnswer, FlipUpload, Hang, HangInUpload, ResetAnswer, ResetInUpload, Status
from faults.kind import CANARY, REPEATED, Kind
from faults.outcome import Outcome, State, fails, succeeds
from faults.proxy import Fault
from stow.errors import (
    BackendError,
    BackendFailedError,
    BackendThrottledError,
    BackendTimeoutError,
    BackendUnreachableError,
    ChecksumMismatchError,
    CredentialsInvalidError,
    IntegrityError,
    WriteOutcomeUnknownError,
)
from stow.storage.clock import utc_now


@dataclass(frozen=True, slots=True)
class Operation:
    """``role`` is the request that a fault hits, ``group`` what its outcome is looked up by. ``fresh``: the key is unused before."""

    name: str
    group: str
    role: str
    fresh: bool = False


_WRITES: Final = (
    Operation("write small", "small", "write"),
    Operation("write streamed", "streamed", "write"),
    Operation("write in parts, at a part", "part", "part"),
    Operation("write in parts, at its end", "commit", "commit"),
    Operation("copy", "copy", "copy"),
    Operation("copy with new attributes", "copy anew", "copy"),
)
OPERATIONS: Final = (
    Operation("head", "head", "head"),
    Operation("list", "list", "list"),
    Operation("read", "read", "read"),
    Operation("delete", "delete", "delete"),
    *_WRITES,
    Operation("write of unknown size", "unannounced", "write"),
    *(replace(write, name=f"{write.name}, new key", fresh=True) for write in _WRITES),
    Operation("container exists", "exists", "exists"),
    Operation("create container", "create", "create", fresh=True),
    Operation("sign", "sign", ""),
)

COPIES: Final = ("copy", "copy anew")
SENT_ONCE: Final = ("small", "streamed", "commit", *COPIES)
SIGNED: Final = Outcome(None, 0)
"""Signing does no I/O, so nothing can happen to it."""


@dataclass(frozen=True, slots=True)
class Site:
    """What a fault may depend on."""

    kind: Kind
    elsewhere: str
    """URL of a host that nobody must be sent to."""


@dataclass(frozen=True, slots=True)
class Row:
    """One fault. ``door``: how the way to the server is broken before any request; else ``fault`` hurts requests."""

    name: str
    outcomes: Mapping[str, Outcome]
    fault: Callable[[Site], Fault] | None = None
    door: str = ""
    nth: int | None = None
    """Which attempt is hurt; None is each."""
    hurts_looks: bool = False
    """So that what became of a write cannot be found out."""
    silent: bool = False
    """Ends by the idle deadline, which is short then."""
    on_new_keys: bool = True
    """Whether writes to unused keys are tried as well; needless where the server has done the write anyway."""
    big: bool = False
    """The streamed body is larger than what sockets hold, so that its end cannot be under way already."""


def each(groups: tuple[str, ...], outcome: Outcome) -> dict[str, Outcome]:
    return dict.fromkeys(groups, outcome)


def _xml(text: str) -> bytes:
    return f"<html>{text}</html>".encode()


def _http_date_in_2_s() -> dict[str, str]:
    return {"Retry-After": format_datetime(utc_now() + timedelta(seconds=2), usegmt=True)}


_UNREACHABLE: Final = each(
    (*REPEATED, "small", "streamed", "part", *COPIES, "create"), fails(BackendUnreachableError, 3)
)
"""Operations whose first request is a write come to one connect."""
_UNKNOWN: Final = each(SENT_ONCE, fails(WriteOutcomeUnknownError, 1, looks=1))
_FOUND: Final = each(SENT_ONCE, succeeds(1, looks=1))
_THROTTLED: Final = {
    **each((*REPEATED, "part"), fails(BackendThrottledError, 3)),
    **each((*SENT_ONCE, "create"), fails(BackendThrottledError, 1)),
}
_REDIRECTED: Final = each((*REPEATED, *SENT_ONCE, "part", "create"), fails(BackendError, 1))
_WAITED: Final = {
    **each(REPEATED, succeeds(2, waits_s=0.9)),
    **each((*SENT_ONCE, "create"), fails(BackendThrottledError, 1)),
}

_ROWS: Final = (
    # The way to the server
    Row("refused", _UNREACHABLE, door="refused"),
    Row("name does not resolve", _UNREACHABLE, door="dns"),
    Row("plain server behind https", _UNREACHABLE, door="plain"),
    Row("certificate expired", _UNREACHABLE, door="expired"),
    Row("certificate of another host", _UNREACHABLE, door="wrong host"),
    # Silence
    Row(
        "hang before the server has it",
        {
            **each((*REPEATED, "create"), fails(BackendTimeoutError, 1)),
            **_UNKNOWN,
            "part": fails(BackendTimeoutError, 3),
        },
        lambda _: Hang(),
        silent=True,
    ),
    Row(
        "hang after the server has done it",
        {
            **each(("head", "exists", "list", "read"), fails(BackendTimeoutError, 1)),
            **each(("delete", "create"), fails(BackendTimeoutError, 1, state=State.NEW)),
            **_FOUND,
            "part": succeeds(2),
        },
        lambda _: Hang(acted=True),
        nth=1,
        silent=True,
        on_new_keys=False,
    ),
    Row(
        "hang in the answer's body",
        {**each(("list", "read"), fails(BackendTimeoutError, 1)), **each(("commit", *COPIES), succeeds(1, looks=1))},
        lambda _: CutAnswer(50, by="hang"),
        silent=True,
        on_new_keys=False,
    ),
    Row(
        "hang in the upload",
        {"streamed": fails(BackendTimeoutError, 1), "part": fails(BackendTimeoutError, 3)},
        lambda _: HangInUpload(100_000),
        silent=True,
        big=True,
    ),
    # Broken connections
    Row(
        "reset after the request's head",
        {
            **each((*REPEATED, "part"), fails(BackendUnreachableError, 3)),
            **each(("small", "commit", *COPIES), fails(WriteOutcomeUnknownError, 1, looks=1)),
            **each(("streamed", "create"), fails(BackendUnreachableError, 1)),
        },
        lambda _: ResetInUpload(),
        big=True,
    ),
    Row(
        "reset in the upload",
        {"streamed": fails(BackendUnreachableError, 1), "part": fails(BackendUnreachableError, 3)},
        lambda _: ResetInUpload(1_000_000),
        big=True,
    ),
    Row(
        "reset in the upload, once",
        {"streamed": fails(BackendUnreachableError, 1), "part": succeeds(2)},
        lambda _: ResetInUpload(1_000_000),
        nth=1,
        big=True,
    ),
    Row(
        "reset instead of the answer",
        {
            **each(("head", "exists", "list", "read", "part"), fails(BackendUnreachableError, 3)),
            "delete": fails(BackendUnreachableError, 3, state=State.NEW),
            **_FOUND,
            "create": fails(BackendUnreachableError, 1, state=State.NEW),
        },
        lambda _: ResetAnswer(),
    ),
    Row(
        "reset instead of the answer, once",
        {**each((*REPEATED, "part"), succeeds(2)), **_FOUND},
        lambda _: ResetAnswer(),
        nth=1,
    ),
    Row(
        "reset in the answer's head",
        {
            **each(("head", "exists", "list", "read", "part"), fails(BackendUnreachableError, 3)),
            "delete": fails(BackendUnreachableError, 3, state=State.NEW),
            **_FOUND,
            "create": fails(BackendUnreachableError, 1, state=State.NEW),
        },
        lambda _: ResetAnswer(20),
    ),
    Row(
        "no answer at all to a write and to the look for it",
        each(SENT_ONCE, fails(WriteOutcomeUnknownError, 1, looks=3, state=State.NEW)),
        lambda _: ResetAnswer(),
        hurts_looks=True,
    ),
    Row(
        "reset in the answer's body",
        {
            "list": fails(BackendUnreachableError, 3),
            "read": fails(BackendUnreachableError, 1),
            **each(("commit", *COPIES), succeeds(1, looks=1)),
        },
        lambda _: CutAnswer(50, by="reset"),
    ),
    Row(
        "truncated body under a right Content-Length",
        {
            "list": fails(BackendUnreachableError, 3),
            "read": fails(BackendUnreachableError, 1),
            **each(("commit", *COPIES), succeeds(1, looks=1)),
        },
        lambda _: CutAnswer(50),
    ),
    # Damage
    Row("flipped bit in the answer", {"read": fails(IntegrityError, 1)}, lambda _: FlipAnswer(5000)),
    Row(
        "flipped bit in the upload",
        each(("small", "streamed", "part"), fails(ChecksumMismatchError, 1)),
        lambda _: FlipUpload(1000),
    ),
    # Answers
    Row(
        "500",
        {
            **each((*REPEATED, "part"), fails(BackendFailedError, 3)),
            **_UNKNOWN,
            "create": fails(BackendFailedError, 1),
        },
        lambda _: Status(500, body=_xml(CANARY)),
    ),
    Row(
        "500, once",
        {**each((*REPEATED, "part"), succeeds(2)), **_UNKNOWN},
        lambda _: Status(500, body=_xml(CANARY)),
        nth=1,
    ),
    Row("503", _THROTTLED, lambda _: Status(503, body=_xml(CANARY))),
    Row(
        "503 before the body was taken",
        {"streamed": fails(BackendThrottledError, 1)},
        lambda _: Status(503, early=True),
        big=True,
    ),
    Row("429", _THROTTLED, lambda _: Status(429, body=_xml(CANARY))),
    Row("503, Retry-After in seconds", _WAITED, lambda _: Status(503, {"Retry-After": "1"}), nth=1),
    Row(
        "429, Retry-After as a date",
        {"head": succeeds(2, waits_s=0.9), "small": fails(BackendThrottledError, 1)},
        lambda _: Status(429, _http_date_in_2_s),
        nth=1,
    ),
    Row(
        "503, Retry-After behind the deadline",
        each((*REPEATED, *SENT_ONCE, "create"), Outcome(BackendThrottledError, 1, within_s=3)),
        lambda _: Status(503, {"Retry-After": "3600"}),
    ),
    Row(
        "credentials expired",
        each((*REPEATED, *SENT_ONCE, "part", "create"), fails(CredentialsInvalidError, 1)),
        lambda site: site.kind.expired,
    ),
    Row("redirect 307", _REDIRECTED, lambda site: Status(307, {"Location": site.elsewhere}, _xml(CANARY))),
    Row("redirect 301", _REDIRECTED, lambda site: Status(301, {"Location": site.elsewhere}, _xml(CANARY))),
)
ROWS: Final = {row.name: row for row in _ROWS}
BY_NAME: Final = {operation.name: operation for operation in OPERATIONS}


@dataclass(frozen=True, slots=True)
class Case:
    """One cell."""

    kind: Kind
    row: Row
    operation: Operation
    expected: Outcome = field(repr=False)

    def __str__(self) -> str:
        return f"{self.kind.name}-{self.row.name}-{self.operation.name}"


def operations(kind: Kind) -> list[Operation]:
    """Those that the kind has."""
    lacking = {"unannounced"} if kind.in_parts else {"part", "commit"}
    return [operation for operation in OPERATIONS if operation.group not in lacking]


def expected(kind: Kind, row: Row, operation: Operation) -> Outcome | None:
    """None where the fault cannot happen to this operation of this kind."""
    if operation not in operations(kind):
        return None
    for about in (operation.name, operation.group):
        if (row.name, about) in kind.differs:
            return kind.differs[row.name, about].outcome
    if operation.group == "sign":
        return fails(BackendUnreachableError, 3) if row.door and kind.logs_in else SIGNED
    outcome = row.outcomes.get("streamed" if operation.group == "unannounced" else operation.group)
    if outcome is None or (operation.fresh and operation.group != "create" and not row.on_new_keys):
        return None
    if row.door:
        repeats = kind.logs_in or operation.group in {*REPEATED, *kind.first_is_repeated}
        return replace(outcome, attempts=3 if repeats else 1)
    fault = row.fault(Site(kind, "")) if row.fault is not None else None
    if isinstance(fault, CutAnswer) and operation.role not in kind.answers:
        return None
    if isinstance(fault, FlipUpload) and not kind.checks_uploads:
        return None
    if isinstance(fault, FlipAnswer) and not kind.checks_reads:
        return None
    if operation.group == "copy" and outcome.looks and outcome.error is None and not kind.copies_carry_nonce:
        return fails(WriteOutcomeUnknownError, 1, looks=1, state=State.NEW)
    return outcome


def cases(kind: Kind) -> list[Case]:
    """All cells of a kind."""
    return [
        Case(kind, row, operation, outcome)
        for row in ROWS.values()
        for operation in OPERATIONS
        if (outcome := expected(kind, row, operation)) is not None
    ]
