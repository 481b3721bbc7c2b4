"""What the server commands are told, checked once. Every field is an option of ``stow operator`` or ``stow gateway``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Options of both servers; those of the other one have their defaults."""

    kubeconfig: Path | None = None
    system_namespace: str = "stow-system"
    namespaces: tuple[str, ...] = ()
    local_root: Path | None = None
    public_url: str | None = None
    egress_allow: tuple[str, ...] = ()
    egress_deny: tuple[str, ...] = ()
    namespaced_ambient_credentials: bool = False
    cluster_ambient_credentials: bool = True
    secret_poll_interval: timedelta = timedelta(seconds=30)
    log_format: str = "json"
    log_level: str = "info"
    listen: tuple[str, int] = ("127.0.0.1", 0)
    installation_id: str | None = None
    workers: int = 8
    namespace_deletion_grace: timedelta = timedelta(minutes=2)
    audience: str = "stowstore.io"
    max_concurrent_requests: int = 512
    shutdown_grace: timedelta = timedelta(seconds=25)
    pod_name: str | None = None
    pod_uid: str | None = None
    crash_at: str | None = None
    """Name of a :class:`~stow.storage.crashpoints.CrashPoint` at which the process kills itself; set by the crash tests only."""

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """From a command's options and the pod's own names in the environment."""
        known = {each.name for each in fields(cls)}
        unknown = set(given) - known
        if unknown:
            raise TypeError(f"options without a setting: {', '.join(sorted(unknown))}")
        return cls(
            **given,
            pod_name=os.environ.get("POD_NAME"),
            pod_uid=os.environ.get("POD_UID"),
            crash_at=os.environ.get("STOW_CRASH_AT"),
        )
