"""``stow operator``: the reconcilers, put together."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time

from stow.cli.foundation import Foundation, foundation, serve
from stow.cli.settings import Settings
from stow.errors import ControlPlaneError
from stow.handlers.app import OperatorParts, OperatorSettings, run_operator
from stow.kube.client import KubeConfig
from stow.kube.events import KubeEvents
from stow.kube.keys import KeyKeeper, NewKeys
from stow.kube.lease import Lease, LeaseName
from stow.kube.reader import KubeReader
from stow.kube.reports import ReportReader
from stow.kube.rest import NOT_FOUND, object_path
from stow.kube.writer import KubeWriter, WriteMetrics
from stow.reconcile.sweeping import Sweeper
from stow.storage.clock import utc_now


def run(settings: Settings) -> int:
    """Reconcile until SIGTERM or SIGINT; the exit code."""

    async def work(stop: asyncio.Event) -> None:
        async with foundation(settings, reconciles=True) as base:
            operator = asyncio.create_task(_operate(base))
            stopped = asyncio.create_task(stop.wait())
            await asyncio.wait({operator, stopped}, return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            operator.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await operator

    return serve("operator", settings, work)


async def _operate(base: Foundation) -> None:
    settings = base.settings
    # First: it says that the namespace is missing in words; the keys' Secret would fail there with a bare 404.
    installation = settings.installation_id or await _installation(base)
    keeper = KeyKeeper(base.key_secret, base.keys, NewKeys(utc_now), clock=utc_now, crash=base.crash)
    await keeper.maintain()
    writes = WriteMetrics(base.registry)
    reports = ReportReader(base.request, base.cache, namespace=settings.system_namespace, clock=utc_now)
    parts = OperatorParts(
        cache=base.cache,
        request=base.request,
        reader=KubeReader(base.request),
        writer=KubeWriter(base.request, writes),
        events=KubeEvents(base.request, writes, clock=utc_now, monotonic=time.monotonic),
        stores=base.pool,
        dynamic=reports,
        registry=base.registry,
        lease=_lease(base),
        wakes=(base.secrets, reports),
        services=(base.secrets.run, base.pool.run, keeper.run, reports.run, Sweeper(base.cache, base.pool).run),
        crash=base.crash,
    )
    wanted = OperatorSettings(
        kube=KubeConfig(path=settings.kubeconfig),
        installation=installation,
        namespaces=settings.namespaces,
        listen=settings.listen,
        workers=settings.workers,
        namespace_deletion_grace=settings.namespace_deletion_grace,
    )
    await run_operator(wanted, parts, serving=_say)


def _lease(base: Foundation) -> Lease | None:
    """Pods may be several, and are told apart by their names. A process outside a cluster is the only one."""
    pod_name = base.settings.pod_name
    if pod_name is None:
        return None
    name = LeaseName(base.settings.system_namespace, pod_name)
    return Lease(base.request, name, clock=utc_now, monotonic=time.monotonic)


async def _installation(base: Foundation) -> str:
    """The UID of the system namespace: it stays for as long as the installation does.

    Raises:
        ControlPlaneError: there is no such namespace, or it cannot be read.
    """
    name = base.settings.system_namespace
    try:
        found = await base.request("GET", object_path("Namespace", None, name))
    except ControlPlaneError as error:
        if error.status != NOT_FOUND:
            raise
        raise ControlPlaneError(
            f"There is no namespace {name}; create it, or name the operator's own with --system-namespace.",
            status=NOT_FOUND,
        ) from error
    return str(found["metadata"]["uid"])


def _say(host: str, port: int) -> None:
    sys.stderr.write(f"stow operator: health and metrics on {host}:{port}\n")
    sys.stderr.flush()
