"""``stow operator``, ``stow gateway`` and ``stow dev``: their options, documented once, here. What they build is in the modules beside."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import click

from stow.cli.exits import Exit
from stow.cli.settings import Settings


class Listen(click.ParamType[tuple[str, int]]):
    """``host:port``; port 0 takes a free one."""

    name = "host:port"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        if isinstance(value, tuple):
            return value
        host, separator, port = str(value).rpartition(":")
        if not separator or not port.isdigit() or int(port) > 65535:
            self.fail(f"{value!r} is not host:port", param, ctx)
        return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 - a server in a pod listens on every address


class Duration(click.ParamType[timedelta]):
    """A Go duration such as ``90s`` or ``1h30m``."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        from stow.api.durations import parse_duration

        try:
            return parse_duration(str(value))
        except ValueError:
            self.fail(f"{value!r} is no duration; write for example 90s, 15m or 1h30m", param, ctx)


_SHARED: Final = (
    click.option(
        "--kubeconfig",
        type=click.Path(path_type=Path),
        envvar="KUBECONFIG",
        help="Outside a cluster: the KUBECONFIG to use.",
    ),
    click.option(
        "--system-namespace", default="stow-system", show_default=True, help="Where the operator's own objects live."
    ),
    click.option(
        "--watch-namespace",
        "namespaces",
        multiple=True,
        help="Serve only these namespaces; may be repeated. Default: all.",
    ),
    click.option(
        "--local-root",
        type=click.Path(path_type=Path),
        help="Folder that local locations lie below. Default: none, local locations are off.",
    ),
    click.option(
        "--public-url",
        metavar="URL",
        help="Where clients reach the gateway: the base of signed URLs of local locations.",
    ),
    click.option(
        "--egress-allow",
        multiple=True,
        metavar="CIDR",
        help="Open a network that is denied by default (loopback, link-local, metadata).",
    ),
    click.option("--egress-deny", multiple=True, metavar="CIDR", help="Deny a further network to every backend."),
    click.option(
        "--namespaced-ambient-credentials",
        is_flag=True,
        help="Let a StowLocation use the operator's ambient credentials too.",
    ),
    click.option(
        "--cluster-ambient-credentials/--no-cluster-ambient-credentials",
        default=True,
        show_default=True,
        help="Let a ClusterStowLocation use the operator's ambient credentials.",
    ),
    click.option(
        "--secret-poll-interval",
        type=Duration(),
        default="30s",
        show_default=True,
        help="How often referenced Secrets are read.",
    ),
    click.option("--log-format", type=click.Choice(["json", "text"]), default="json", show_default=True),
    click.option(
        "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", show_default=True
    ),
)


def _shared(command: Any) -> Any:
    for option in reversed(_SHARED):
        command = option(command)
    return command


@click.command(short_help="Run the reconcilers.")
@_shared
@click.option("--listen", type=Listen(), default="0.0.0.0:8081", show_default=True, help="Health and metrics.")
@click.option("--installation-id", help="Marks containers as this installation's. Default: the system namespace's UID.")
@click.option("--workers", type=click.IntRange(1, 64), default=8, show_default=True, help="Reconciles at a time.")
@click.option(
    "--namespace-deletion-grace",
    type=Duration(),
    default="2m",
    show_default=True,
    help="How long DeleteIfEmpty may hold up a namespace's end.",
)
def operator(**given: Any) -> None:
    """Run the operator: reconcile StowLocations, ClusterStowLocations and StowContainers."""
    from stow.cli.operator import run

    sys.exit(run(Settings.of(given)))


@click.command(short_help="Run the object API.")
@_shared
@click.option("--listen", type=Listen(), default="0.0.0.0:8080", show_default=True, help="The object API.")
@click.option("--audience", default="stowstore.io", show_default=True, help="The audience that tokens must have.")
@click.option("--max-concurrent-requests", type=click.IntRange(1), default=512, show_default=True)
@click.option(
    "--shutdown-grace",
    type=Duration(),
    default="25s",
    show_default=True,
    help="How long running requests may go on after SIGTERM.",
)
def gateway(**given: Any) -> None:
    """Run the object API."""
    from stow.cli.gateway import run

    sys.exit(run(Settings.of(given)))


@click.command(short_help="Run a whole cluster on this machine.")
@click.option("--quickstart", is_flag=True, help="Walk through examples/quickstart, then serve (on a terminal) or end.")
@click.option("--prepare", is_flag=True, help="Only find, download or build what is needed, then end.")
@click.option("--no-crds", is_flag=True, help="Only the control plane: no CRDs, no operator, no gateway.")
@click.option(
    "--local-root",
    type=click.Path(path_type=Path),
    help="Keep the objects of local locations here. Default: a temporary folder.",
)
def dev(quickstart: bool, prepare: bool, no_crds: bool, local_root: Path | None) -> None:
    """Run a whole cluster on this machine: a real control plane, the operator and the gateway."""
    from stow.cli.development import run
    from stow.dev.failures import DevError

    try:
        run(quickstart=quickstart, prepare=prepare, crds=not no_crds, local_root=local_root)
    except DevError as error:
        click.echo(f"stow: {error}", err=True)
        sys.exit(Exit.FAILED)
