"""Which container names a location gives to which namespace.

A pattern is literal text with `*` (any run of characters, also none) and `{namespace}` (the asking namespace). Where a
name fits for several existing namespaces, as `team-a-x` fits `{namespace}-*` for both `team` and `team-a`, only the
longest may use it, so that creating the namespace `team` takes nothing from `team-a`.

Container names follow the portable rule of the S3 API: 3 to 63 lower-case letters, digits, hyphens and dots; the first and
the last a letter or digit; no two dots together, no dot beside a hyphen, not an IPv4 address.
"""

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from stow.errors import InvalidContainerNameError
from stow.storage.names import check_container_name

MAX_PATTERN_LENGTH: Final = 128
NAMESPACE_TOKEN: Final = "{namespace}"  # noqa: S105 - a placeholder in a pattern, not a secret

_DOT_BESIDE_HYPHEN: Final = (".-", "-.")
"""MinIO refuses such names, and no certificate fits them; StowStore leaves them to the backend."""

DNS_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
"""The name of a namespace (RFC 1123 label)."""
DNS_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*", re.ASCII)
"""The name of most other objects (RFC 1123 subdomain, at most 253 characters)."""
NAME_PATTERN: Final = re.compile(r"([a-z0-9.*-]|\{namespace\})+", re.ASCII)


class NameVerdict(StrEnum):
    """Whether a namespace may use a container name at a location."""

    ALLOWED = "Allowed"
    NO_MATCH = "NoMatch"
    """The pattern does not fit for the namespace."""
    LONGER_NAMESPACE = "LongerNamespace"
    """It fits, but another existing namespace with a longer name has the better claim."""
    AMBIGUOUS = "Ambiguous"
    """It fits for several existing namespaces of the same length; nobody may use it."""


def is_container_name(name: str) -> bool:
    """Whether the name is portable over the backends."""
    try:
        check_container_name(name)
    except InvalidContainerNameError:
        return False
    return not any(each in name for each in _DOT_BESIDE_HYPHEN)


def is_name_pattern(pattern: str) -> bool:
    """Whether the text is a pattern: literal name characters, `*` and `{namespace}`."""
    return len(pattern) <= MAX_PATTERN_LENGTH and NAME_PATTERN.fullmatch(pattern) is not None


def matches(pattern: str, name: str, namespace: str) -> bool:
    """Whether `name` fits `pattern` for that one namespace, without regard to others.

    False for what is no pattern. Time is at most len(pattern) x len(name), whatever a tenant writes.
    """
    if not is_name_pattern(pattern) or DNS_LABEL.fullmatch(namespace) is None:
        return False
    return _glob(pattern.replace(NAMESPACE_TOKEN, namespace), name)


def judge_name(pattern: str, name: str, namespace: str, *, namespaces: Iterable[str]) -> NameVerdict:
    """Whether `namespace` may use `name`, given all existing namespaces (itself may be among them)."""
    if not matches(pattern, name, namespace):
        return NameVerdict.NO_MATCH
    if NAMESPACE_TOKEN not in pattern:
        return NameVerdict.ALLOWED
    verdict = NameVerdict.ALLOWED
    for other in namespaces:
        if other == namespace or len(other) < len(namespace) or not matches(pattern, name, other):
            continue
        if len(other) > len(namespace):
            return NameVerdict.LONGER_NAMESPACE
        verdict = NameVerdict.AMBIGUOUS
    return verdict


def _glob(pattern: str, text: str) -> bool:
    """Greedy match with one point to fall back to, since only the last `*` can ever need to take more."""
    at, seen, star, resume = 0, 0, -1, 0
    while seen < len(text):
        if at < len(pattern) and pattern[at] == "*":
            star, resume = at, seen
            at += 1
        elif at < len(pattern) and pattern[at] == text[seen]:
            at += 1
            seen += 1
        elif star >= 0:
            resume += 1
            at, seen = star + 1, resume
        else:
            return False
    return all(each == "*" for each in pattern[at:])
