"""What a provisioned container is set to: tags, versioning, expiry. Sets what the spec asks for, and tells what somebody changed since.

Fields that the spec leaves out are never touched. A container that was loaded is changed only under ``driftPolicy: Enforce``: that somebody
described it makes it no less another's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from stow.api.conditions import Wanted
from stow.api.container import ContainerSpec, DriftPolicy
from stow.api.reasons import ConditionType, Reason
from stow.api.status import ContainerStatus, Provisioned
from stow.errors import UnsupportedError
from stow.storage.driver import Capabilities
from stow.storage.model import ContainerSettings
from stow.storage.store import StowStore

NOTHING = ContainerSettings()


@dataclass(frozen=True, slots=True)
class Settled:
    """``was_set``: the container was changed just now."""

    status: ContainerStatus
    conditions: tuple[Wanted, ...] = ()
    was_set: bool = False


def check_supported(wanted: ContainerSettings, has: Capabilities) -> None:
    """Before anything is created.

    Raises:
        UnsupportedError: names the fields of the spec that this backend cannot have.
    """
    asked = {
        "spec.tags": (wanted.tags, has.tags),
        "spec.versioning": (wanted.versioning, has.versioning),
        "spec.expireAfterDays": (wanted.expire_after_days, has.expiry_rules),
    }
    lacking = [field for field, (value, able) in asked.items() if value is not None and not able]
    if lacking:
        raise UnsupportedError(
            f"This backend does not have {' and '.join(lacking)}; leave that out, or use another location."
        )


async def settle(store: StowStore, name: str, spec: ContainerSpec, status: ContainerStatus) -> Settled:
    """Bring the container to what the spec asks for, or say how it differs.

    Raises:
        UnsupportedError: the backend has no such thing.
        StowError: as of the store's own calls.
    """
    wanted = spec.settings
    if wanted == NOTHING:
        return Settled(replace(status, settings=None))
    check_supported(wanted, store.capabilities)
    enforced = spec.drift_policy is DriftPolicy.ENFORCE
    if wanted != status.settings and (enforced or status.provisioned is Provisioned.CREATED):
        await store.configure_container(name, wanted)
        return Settled(replace(status, settings=wanted), was_set=True)
    differing = differences(wanted, await store.container_settings(name, wanted))
    if not differing:
        return Settled(replace(status, settings=wanted))
    if enforced:
        await store.configure_container(name, wanted)
        return Settled(replace(status, settings=wanted), was_set=True)
    message = (
        f"The container differs from the spec in {' and '.join(differing)}; set it back, change the spec, or use "
        "driftPolicy: Enforce."
    )
    return Settled(status, (Wanted(ConditionType.DRIFTED, "True", Reason.SETTINGS_DRIFTED, message),))


def differences(wanted: ContainerSettings, found: ContainerSettings) -> tuple[str, ...]:
    """The fields of the spec that the container does not follow, by name alone: values may be of somebody else."""
    pairs = {
        "tags": (None if wanted.tags is None else dict(wanted.tags), None if found.tags is None else dict(found.tags)),
        "versioning": (wanted.versioning, found.versioning),
        "expireAfterDays": (wanted.expire_after_days, found.expire_after_days),
    }
    return tuple(field for field, (asked, is_) in pairs.items() if asked is not None and asked != is_)
