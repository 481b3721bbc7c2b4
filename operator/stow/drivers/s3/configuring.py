"""What a bucket is set to: tags, versioning, and one lifecycle rule of our own beside those of others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stow.drivers.s3.containers import SYSTEM_TAGS, TAG_PREFIX, Containers
from stow.storage.driver import Capabilities
from stow.storage.model import ContainerSettings

if TYPE_CHECKING:
    from mypy_boto3_s3.literals import BucketVersioningStatusType  # stubs: not there at run time
    from mypy_boto3_s3.type_defs import LifecycleRuleUnionTypeDef, TagTypeDef

RULE: Final = "stowstore.io-expire"
"""ID of our lifecycle rule."""


async def read(containers: Containers, capabilities: Capabilities, name: str) -> ContainerSettings:
    """See ``Driver.container_settings``; three requests, where the dialect has all three."""
    tags = versioning = days = None
    if capabilities.tags:
        tags = {tag["Key"]: tag["Value"] for tag in await containers.tags(name) if _users(tag)}
    if capabilities.versioning:
        found = await containers.run(lambda client: client.get_bucket_versioning(Bucket=name))
        versioning = found.get("Status") == "Enabled"
    if capabilities.expiry_rules:
        ours = next((rule for rule in await _rules(containers, name) if rule.get("ID") == RULE), None)
        days = 0
        if ours is not None and "Expiration" in ours:
            days = ours["Expiration"].get("Days", 0)
    return ContainerSettings(tags=tags, versioning=versioning, expire_after_days=days)


async def write(containers: Containers, name: str, wanted: ContainerSettings) -> None:
    """See ``Driver.configure_container``."""
    if wanted.tags is not None:
        kept = [tag for tag in await containers.tags(name) if tag["Key"].startswith(TAG_PREFIX)]
        given: list[TagTypeDef] = [{"Key": key, "Value": value} for key, value in wanted.tags.items()]
        await containers.replace_tags(name, kept + given)
    if wanted.versioning is not None:
        status: BucketVersioningStatusType = "Enabled" if wanted.versioning else "Suspended"
        await containers.run(
            lambda client: client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": status})
        )
    if wanted.expire_after_days is not None:
        await _expire(containers, name, wanted.expire_after_days)


async def _expire(containers: Containers, name: str, days: int) -> None:
    rules = [rule for rule in await _rules(containers, name) if rule.get("ID") != RULE]
    if days:
        rules.append({"ID": RULE, "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": days}})
    if rules:
        await containers.run(
            lambda client: client.put_bucket_lifecycle_configuration(
                Bucket=name, LifecycleConfiguration={"Rules": rules}
            )
        )
    else:
        await containers.run(lambda client: client.delete_bucket_lifecycle(Bucket=name))


def _users(tag: TagTypeDef) -> bool:
    return not tag["Key"].startswith((TAG_PREFIX, SYSTEM_TAGS))


async def _rules(containers: Containers, name: str) -> list[LifecycleRuleUnionTypeDef]:
    found = await containers.run_or_none(
        name,
        "NoSuchLifecycleConfiguration",
        lambda client: client.get_bucket_lifecycle_configuration(Bucket=name)["Rules"],
    )
    return [] if found is None else [*found]
