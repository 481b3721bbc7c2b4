"""What a bucket is set to: tags, versioning, and one lifecycle rule of our own beside those of others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, TypedDict

from stow.drivers.s3.capabilities import Traits
from stow.drivers.s3.containers import SYSTEM_TAGS, TAG_PREFIX, Containers
from stow.errors import ContainerNotFoundError, InvalidSpecError
from stow.storage.driver import Capabilities
from stow.storage.model import ContainerSettings
from stow.storage.names import printable

if TYPE_CHECKING:
    from mypy_boto3_s3.literals import (  # stubs: not there at run time
        BucketVersioningStatusType,
        TransitionDefaultMinimumObjectSizeType,
    )
    from mypy_boto3_s3.type_defs import LifecycleRuleUnionTypeDef, TagTypeDef

RULE: Final = "stowstore.io-expire"
"""ID of our lifecycle rule."""
_MAX_TAGS: Final = 50
_MAX_TAG_NAME: Final = 128
_MAX_TAG_VALUE: Final = 256
_TAG_SIGNS: Final = " _.:/=+-@"


class _Minimum(TypedDict, total=False):
    TransitionDefaultMinimumObjectSize: TransitionDefaultMinimumObjectSizeType


async def read(
    containers: Containers, capabilities: Capabilities, name: str, asked: ContainerSettings | None
) -> ContainerSettings:
    """See ``Driver.container_settings``; a request and a right of its own for each of the three that is asked for."""
    wanted = asked or ContainerSettings(tags={}, versioning=True, expire_after_days=0)
    by_tags = capabilities.tags and wanted.tags is not None
    by_versioning = capabilities.versioning and wanted.versioning is not None
    by_rules = capabilities.expiry_rules and wanted.expire_after_days is not None
    if not (by_tags or by_versioning or by_rules) and not await containers.exists(name):
        raise ContainerNotFoundError("The container does not exist.")
    tags = versioning = days = None
    if by_tags:
        tags = {tag["Key"]: tag["Value"] for tag in await containers.tags(name) if _users(tag)}
    if by_versioning:
        versioning = await _versioned(containers, name)
    if by_rules:
        rules, _ = await _lifecycle(containers, name)
        days = sum(_days(rule) for rule in rules if rule.get("ID") == RULE)
    return ContainerSettings(tags=tags, versioning=versioning, expire_after_days=days)


async def write(containers: Containers, traits: Traits, name: str, wanted: ContainerSettings) -> None:
    """See ``Driver.configure_container``. What is so already is not written again.

    Raises:
        InvalidSpecError: a tag breaks S3's rules, or its name belongs to the marker or to AWS; nothing was written.
    """
    if wanted.tags is not None:
        await _tag(containers, traits, name, wanted.tags)
    if wanted.versioning is not None and await _versioned(containers, name) != wanted.versioning:
        status: BucketVersioningStatusType = "Enabled" if wanted.versioning else "Suspended"
        await containers.run(
            lambda client: client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": status})
        )
    if wanted.expire_after_days is not None:
        await _expire(containers, name, wanted.expire_after_days)


async def _tag(containers: Containers, traits: Traits, name: str, wanted: Mapping[str, str]) -> None:
    for key, value in wanted.items():
        _check_tag(key, value, ascii_only=traits.ascii_tags)
    present = await containers.tags(name)
    if {tag["Key"]: tag["Value"] for tag in present if _users(tag)} == dict(wanted):
        return
    kept = [tag for tag in present if tag["Key"].startswith(TAG_PREFIX)]
    if len(kept) + len(wanted) > _MAX_TAGS:
        raise InvalidSpecError(
            f"A bucket has at most {_MAX_TAGS} tags, {len(kept)} of them the marker's. Take some away."
        )
    given: list[TagTypeDef] = [{"Key": key, "Value": value} for key, value in wanted.items()]
    await containers.replace_tags(name, kept + given)


def _check_tag(key: str, value: str, *, ascii_only: bool) -> None:
    """By "Restrictions that apply to tag naming and usage" of AWS: its own 400 does not say what is wrong."""
    if key.lower().startswith((TAG_PREFIX, SYSTEM_TAGS)):
        raise InvalidSpecError(f"A tag's name cannot begin with {TAG_PREFIX} or {SYSTEM_TAGS}. Choose another one.")
    if not 1 <= len(key) <= _MAX_TAG_NAME or len(value) > _MAX_TAG_VALUE:
        raise InvalidSpecError(
            f"A tag's name has 1 to {_MAX_TAG_NAME} characters, its value at most {_MAX_TAG_VALUE}. Shorten {printable(key)!r}."
        )
    if not all(c.isalnum() or c in _TAG_SIGNS for c in key + value) or (ascii_only and not (key + value).isascii()):
        raise InvalidSpecError(
            f"The tag {printable(key)!r} holds a character that this backend does not take: use letters, digits, spaces and "
            f"{_TAG_SIGNS.strip()}."
        )


async def _versioned(containers: Containers, name: str) -> bool:
    found = await containers.run(lambda client: client.get_bucket_versioning(Bucket=name))
    return found.get("Status") == "Enabled"


async def _expire(containers: Containers, name: str, days: int) -> None:
    rules, minimum = await _lifecycle(containers, name)
    others = [rule for rule in rules if rule.get("ID") != RULE]
    if [_days(rule) for rule in rules if rule.get("ID") == RULE] == ([days] if days else []):
        return
    if days:
        others.append({"ID": RULE, "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": days}})
    if not others:
        await containers.run(lambda client: client.delete_bucket_lifecycle(Bucket=name))
        return
    await containers.run(
        lambda client: client.put_bucket_lifecycle_configuration(
            Bucket=name, LifecycleConfiguration={"Rules": others}, **minimum
        )
    )


def _days(rule: LifecycleRuleUnionTypeDef) -> int:
    """After how many days our rule deletes any object; 0 where somebody has switched it off or narrowed it."""
    narrowed = "Filter" in rule and rule["Filter"] not in ({}, {"Prefix": ""})
    if rule["Status"] != "Enabled" or narrowed or rule.get("Prefix") or "Expiration" not in rule:
        return 0
    return rule["Expiration"].get("Days", 0)


def _users(tag: TagTypeDef) -> bool:
    return not tag["Key"].startswith((TAG_PREFIX, SYSTEM_TAGS))


async def _lifecycle(containers: Containers, name: str) -> tuple[list[LifecycleRuleUnionTypeDef], _Minimum]:
    """All rules, and what stands beside them: the next write has to carry it, or it is set to its default."""
    found = await containers.run_or_none(
        name, "NoSuchLifecycleConfiguration", lambda client: client.get_bucket_lifecycle_configuration(Bucket=name)
    )
    if found is None:
        return [], {}
    minimum: _Minimum = {}
    if "TransitionDefaultMinimumObjectSize" in found:
        minimum["TransitionDefaultMinimumObjectSize"] = found["TransitionDefaultMinimumObjectSize"]
    return [*found.get("Rules", [])], minimum
