"""Preconditions of reads, decided on the backend's answer in the order of RFC 9110 13.2.2. Pure."""

from __future__ import annotations

from datetime import datetime
from email.utils import format_datetime

from stow.errors import NotModifiedError, PreconditionFailedError
from stow.storage.model import ObjectMetadata, ReadConditions


def check(conditions: ReadConditions, found: ObjectMetadata) -> None:
    """Raises:
    PreconditionFailedError: If-Match or If-Unmodified-Since does not hold (412).
    NotModifiedError: If-None-Match or If-Modified-Since says that the client has it already (304).
    """
    if conditions.if_match:
        if not _matches(conditions.if_match, found, weak=False):
            raise PreconditionFailedError("The object is not the version that If-Match names; read it again.")
    elif conditions.if_unmodified_since and _later(found.last_modified, conditions.if_unmodified_since):
        raise PreconditionFailedError("The object has changed since If-Unmodified-Since; read it again.")
    if conditions.if_none_match:
        if _matches(conditions.if_none_match, found, weak=True):
            raise _not_modified(found)
    elif conditions.if_modified_since and not _later(found.last_modified, conditions.if_modified_since):
        raise _not_modified(found)


def range_applies(conditions: ReadConditions, found: ObjectMetadata) -> bool:
    """Whether If-Range lets the range stand (13.1.5): strong comparison of etags, exact comparison of dates."""
    if conditions.if_range is None:
        return True
    if isinstance(conditions.if_range, datetime):
        return found.last_modified is not None and found.last_modified.replace(microsecond=0) == conditions.if_range
    return conditions.if_range == found.etag


def _matches(wanted: tuple[str, ...], found: ObjectMetadata, *, weak: bool) -> bool:
    """Weak comparison (``W/`` prefix ignored) for If-None-Match, strong for If-Match. Ours are always strong."""
    tags = {tag.removeprefix("W/") for tag in wanted} if weak else set(wanted)
    return "*" in tags or found.etag in tags


def _later(last_modified: datetime | None, than: datetime) -> bool:
    """HTTP dates have whole seconds; an unknown date counts as changed."""
    return last_modified is None or last_modified.replace(microsecond=0) > than


def _not_modified(found: ObjectMetadata) -> NotModifiedError:
    date = format_datetime(found.last_modified, usegmt=True) if found.last_modified else None
    return NotModifiedError(
        "The object has not changed.",
        etag=found.etag,
        last_modified=date,
        cache_control=found.attributes.cache_control,
    )
