"""The client verbs ``stow ls stat cat put rm cp sign``: their arguments and help. What they do is in ``verbs``, imported when one runs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from stow.cli.address import Address
from stow.cli.exits import reports_failures
from stow.cli.servers import Duration

if TYPE_CHECKING:
    from stow.cli.verbs import Where

F = TypeVar("F", bound=Callable[..., Any])
_COMMON: Final = (
    click.option(
        "--server",
        metavar="URL",
        envvar="STOW_SERVER",
        show_envvar=True,
        help="The gateway. Found by itself in a pod and beside `stow dev`.",
    ),
    click.option(
        "--token-file",
        type=click.Path(path_type=Path),
        envvar="STOW_TOKEN_FILE",
        show_envvar=True,
        help="A ServiceAccount token of audience stowstore.io. Found by itself where a pod projects one.",
    ),
    click.option(
        "--service-account",
        metavar="NAME",
        default="default",
        show_default=True,
        help="Outside a cluster: whose token to request through the KUBECONFIG.",
    ),
    click.option(
        "--ca-file",
        type=click.Path(path_type=Path),
        envvar="STOW_CA_FILE",
        show_envvar=True,
        help="CA of the gateway's certificate, in PEM. Default: the system's.",
    ),
    click.option(
        "-n",
        "--namespace",
        metavar="NAME",
        envvar="STOW_NAMESPACE",
        show_envvar=True,
        help="Namespace of the StowContainer or StowLocation.",
    ),
    click.option(
        "--location",
        metavar="NAME",
        help="Use a StowLocation's base or dynamic container instead of a StowContainer.",
    ),
    click.option(
        "--cluster-location", metavar="NAME", help="Use a ClusterStowLocation's base or dynamic container instead."
    ),
    click.option(
        "--json", "as_json", is_flag=True, help="One JSON document on standard output, errors as one on standard error."
    ),
)


def _common(command: F) -> F:
    """The options that every verb has."""
    for option in reversed(_COMMON):
        command = option(command)
    return command


def _where(given: dict[str, Any]) -> Where:
    from stow.cli.connect import Options
    from stow.cli.verbs import Where

    location, cluster_location = given.pop("location"), given.pop("cluster_location")
    return Where(Options(**given), location, cluster_location)


@click.command(short_help="List objects.")
@click.argument("address", metavar="CONTAINER[/PREFIX]")
@click.option("-r", "--recursive", is_flag=True, help="All keys, not only up to the next slash.")
@click.option("--limit", type=click.IntRange(min=1), metavar="COUNT", help="Stop after so many.")
@_common
@reports_failures
async def ls(address: str, recursive: bool, limit: int | None, as_json: bool, **given: Any) -> None:
    """List objects: size, time and key. Common prefixes end in a slash."""
    from stow.cli import verbs

    await verbs.ls(_where(given), Address.parse(address), recursive=recursive, limit=limit, as_json=as_json)


@click.command(short_help="Show an object's size, version, times and attributes.")
@click.argument("address", metavar="CONTAINER/KEY")
@_common
@reports_failures
async def stat(address: str, as_json: bool, **given: Any) -> None:
    """Show an object's size, version, times, attributes and metadata."""
    from stow.cli import verbs

    await verbs.stat(_where(given), Address.of_object(address), as_json=as_json)


@click.command(short_help="Read an object to standard output or a file.")
@click.argument("address", metavar="CONTAINER/KEY")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to a file, whole or not at all."
)
@click.option(
    "--range",
    "byte_range",
    metavar="FIRST-LAST",
    help="Only these bytes, counted from 0, both included. FIRST- is to the end, -LENGTH the last ones.",
)
@_common
@reports_failures
async def cat(address: str, output: Path | None, byte_range: str | None, as_json: bool, **given: Any) -> None:
    """Read an object to standard output or a file."""
    from stow.cli import verbs

    where = Address.of_object(address)
    await verbs.cat(_where(given), where, output=output, byte_range=byte_range, as_json=as_json)


@click.command(short_help="Write an object from a file or standard input.")
@click.argument("source", metavar="FILE|-")
@click.argument("address", metavar="CONTAINER/KEY")
@click.option("--content-type", metavar="TYPE", help="Default: by the file's name.")
@click.option("--meta", multiple=True, metavar="NAME=VALUE", help="User metadata; may be repeated.")
@click.option("--if-match", metavar="ETAG", help="Replace only this version; * any version, but create nothing.")
@click.option("--create-only", is_flag=True, help="Fail if the object exists.")
@click.option(
    "--checksum/--no-checksum",
    default=True,
    help="Send a file's Content-MD5, or not: it takes reading the file twice.  [default: send]",
)
@_common
@reports_failures
async def put(source: str, address: str, as_json: bool, **given: Any) -> None:
    """Write an object from a file, or with - from standard input: all of it, or nothing."""
    from stow.cli import verbs

    names = ("content_type", "meta", "if_match", "create_only", "checksum")
    options = verbs.PutOptions(**{name: given.pop(name) for name in names})
    await verbs.put(_where(given), source, Address.of_object(address), options=options, as_json=as_json)


@click.command(short_help="Delete objects.")
@click.argument("addresses", metavar="CONTAINER/KEY...", nargs=-1, required=True)
@click.option("--if-match", metavar="ETAG", help="Delete only this version (needs a backend that can).")
@_common
@reports_failures
async def rm(addresses: tuple[str, ...], if_match: str | None, as_json: bool, **given: Any) -> None:
    """Delete objects. One that is absent already is success."""
    from stow.cli import verbs

    wheres = [Address.of_object(text) for text in addresses]
    await verbs.rm(_where(given), wheres, if_match=if_match, as_json=as_json)


@click.command(short_help="Copy an object inside the store.")
@click.argument("source", metavar="CONTAINER/KEY")
@click.argument("destination", metavar="CONTAINER/KEY")
@_common
@reports_failures
async def cp(source: str, destination: str, as_json: bool, **given: Any) -> None:
    """Copy an object inside the store, without moving its bytes through here."""
    from stow.cli import verbs

    await verbs.cp(_where(given), Address.of_object(source), Address.of_object(destination), as_json=as_json)


@click.command(short_help="Print a URL that works without a token, for a while.")
@click.argument("address", metavar="CONTAINER/KEY")
@click.option("--method", type=click.Choice(["GET", "HEAD", "PUT", "DELETE"]), default="GET", show_default=True)
@click.option(
    "--expires-in", type=Duration(), metavar="DURATION", help="Such as 15m. Default and maximum are the location's."
)
@click.option("--content-type", metavar="TYPE", help="PUT: the Content-Type that the client will have to send.")
@click.option("--content-md5", metavar="BASE64", help="PUT: the MD5 of the only body that is taken.")
@click.option("--max-bytes", type=click.IntRange(min=0), help="PUT: the size of the largest body that is taken.")
@click.option(
    "--header", "headers", multiple=True, metavar="NAME=VALUE", help="A header that the client will have to send."
)
@click.option(
    "--response-header",
    "response_headers",
    multiple=True,
    metavar="NAME=VALUE",
    help="GET, HEAD: a header that the answer will have.",
)
@_common
@reports_failures
async def sign(
    address: str,
    method: str,
    expires_in: timedelta | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Print a URL that allows one method on one object for a while, to whoever has it.

    What a URL can be bound to beside method, key and expiry depends on the backend: see status.capabilities.signBinds of the location.
    What it cannot be bound to is refused.
    """
    from stow.cli import verbs

    bindings = verbs.Bindings(**{name: given.pop(name) for name in _BINDINGS})
    await verbs.sign(
        _where(given),
        Address.of_object(address),
        method=method,
        expires_in=expires_in,
        bindings=bindings,
        as_json=as_json,
    )


_BINDINGS: Final = ("content_type", "content_md5", "max_bytes", "headers", "response_headers")
VERBS: Final = (ls, stat, cat, put, rm, cp, sign)
