"""What a bucket is set to: labels, versioning, and one lifecycle rule of our own beside those of others.

Google's rules have no names. Ours deletes by age alone, and a label says of how many days; a rule that somebody else wrote with another
age, or with more conditions, is none of ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.cloud.storage import Bucket

from stow.drivers.google import labels
from stow.drivers.google.containers import Containers, loaded
from stow.storage.model import ContainerSettings


async def read(containers: Containers, name: str) -> ContainerSettings:
    """See ``Driver.container_settings``; one request."""

    bucket: Any = await containers.run(lambda client: loaded(client, name))
    days = bucket.labels.get(labels.EXPIRE, "")
    rules = [rule for rule in _rules(bucket) if _is(rule, days)]
    return ContainerSettings(
        tags=labels.users(bucket.labels),
        versioning=bool(bucket.versioning_enabled),
        expire_after_days=int(days) if rules else 0,
    )


async def write(containers: Containers, name: str, wanted: ContainerSettings) -> None:
    """See ``Driver.configure_container``; all in one change.

    Raises:
        InvalidSpecError: a tag that cannot be a label.
    """
    if wanted.tags is not None:
        labels.check_tags(wanted.tags)

    def set_up(bucket: Bucket) -> None:
        found = dict(bucket.labels)
        if wanted.tags is not None:
            kept = {label: value for label, value in found.items() if label.startswith(labels.PREFIX)}
            found = {**wanted.tags, **kept}
        if wanted.versioning is not None:
            bucket.versioning_enabled = wanted.versioning
        if wanted.expire_after_days is not None:
            old = found.pop(labels.EXPIRE, "")
            rules = _rules(bucket)
            ours = [number for number, rule in enumerate(rules) if _is(rule, old)]
            if ours:
                del rules[ours[-1]]  # one alone: another one of the same form is somebody else's
            if wanted.expire_after_days:
                days = wanted.expire_after_days
                rules.append({"action": {"type": "Delete"}, "condition": {"age": days}})
                found[labels.EXPIRE] = str(days)
            bucket.lifecycle_rules = rules
        if found != bucket.labels:
            bucket.labels = found

    await containers.change(name, set_up)


def _rules(bucket: Any) -> list[dict[str, Any]]:
    """As Google has them: the SDK's own list leaves out rules of kinds that it does not know, and they would be lost on the way back."""
    lifecycle = bucket._properties.get("lifecycle") or {}  # noqa: SLF001 - see above
    return [dict(rule) for rule in lifecycle.get("rule", ())]


def _is(rule: Mapping[str, Any], days: str) -> bool:
    known = days.isascii() and days.isdigit()  # "²" is a digit that no number is made of
    return known and rule.get("action") == {"type": "Delete"} and rule.get("condition") == {"age": int(days)}
