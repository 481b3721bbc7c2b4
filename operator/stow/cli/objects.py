"""The client verbs: ``stow ls stat cat put rm cp sign``, over the object API and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import mimetypes
import os
import sys
import tempfile
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import unquote

import click

from stow.cli import show
from stow.cli.address import Address
from stow.cli.client import CHUNK_BYTES, ObjectClient, Target
from stow.cli.connect import Options, connect, current_namespace
from stow.cli.exits import CommandError, Exit, reports_failures

F = TypeVar("F", bound=Callable[..., Any])

_META: Final = "stow-meta-"


def _common(command: F) -> F:
    """The options that every verb has."""
    options = (
        click.option("--server", metavar="URL", help="The gateway; found by itself in a pod and beside `stow dev`."),
        click.option(
            "--token-file", type=click.Path(path_type=Path), help="A ServiceAccount token of audience stowstore.io."
        ),
        click.option(
            "--service-account",
            default="default",
            show_default=True,
            help="Whose token to request through the KUBECONFIG.",
        ),
        click.option("--ca-file", type=click.Path(), help="CA of the gateway's certificate."),
        click.option("-n", "--namespace", help="Namespace of the StowContainer or StowLocation."),
        click.option("--location", help="Use a StowLocation's base or dynamic container instead of a StowContainer."),
        click.option("--cluster-location", help="Use a ClusterStowLocation's base or dynamic container."),
        click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@contextlib.asynccontextmanager
async def _client(given: dict[str, Any]) -> AsyncIterator[ObjectClient]:
    if given["location"] and given["cluster_location"]:
        raise CommandError("--location and --cluster-location exclude each other.", exit_code=Exit.USAGE)
    options = Options(
        server=given["server"],
        token_file=given["token_file"],
        namespace=given["namespace"],
        service_account=given["service_account"],
        ca_file=given["ca_file"],
    )
    namespace = current_namespace(options)
    connection = await connect(options, namespace)
    async with ObjectClient(connection, Target(namespace, given["location"], given["cluster_location"])) as client:
        yield client


@click.command()
@click.argument("address", metavar="CONTAINER[/PREFIX]")
@click.option("-r", "--recursive", is_flag=True, help="All keys, not only up to the next slash.")
@click.option("--limit", type=click.IntRange(min=1), help="Stop after so many.")
@_common
@reports_failures
async def ls(address: str, recursive: bool, limit: int | None, as_json: bool, **given: Any) -> None:
    """List objects: size, time and key; common prefixes end in a slash."""
    where = Address.parse(address)
    objects: list[dict[str, Any]] = []
    prefixes: list[str] = []
    cursor: str | None = None
    async with _client(given) as client:
        while True:
            wanted = 1000 if limit is None else min(1000, limit - len(objects) - len(prefixes))
            page = await client.list(
                where.container, prefix=where.key, delimiter=None if recursive else "/", limit=wanted, cursor=cursor
            )
            objects += page["objects"]
            prefixes += page["prefixes"]
            cursor = page.get("cursor")
            if cursor is None or (limit is not None and len(objects) + len(prefixes) >= limit):
                break
    if as_json:
        show.as_json({"objects": objects, "prefixes": prefixes})
        return
    lines = [(p, ("", "", show.visible(p))) for p in prefixes]
    lines += [(o["key"], (show.size(o["size"]), show.time(o["lastModified"]), show.visible(o["key"]))) for o in objects]
    show.rows(line for _, line in sorted(lines, key=lambda each: each[0].encode()))


@click.command()
@click.argument("address", metavar="CONTAINER/KEY")
@_common
@reports_failures
async def stat(address: str, as_json: bool, **given: Any) -> None:
    """Show an object's size, version, times and attributes."""
    where = Address.of_object(address)
    async with _client(given) as client:
        headers = await client.head(where.container, where.key)
    metadata = {n.lower()[len(_META) :]: unquote(v) for n, v in headers.items() if n.lower().startswith(_META)}
    document = {
        "key": where.key,
        "size": int(headers["Content-Length"]),
        "etag": headers.get("ETag", "").strip('"'),
        "lastModified": headers.get("Last-Modified"),
        "contentType": headers.get("Content-Type"),
        "contentEncoding": headers.get("Content-Encoding"),
        "contentLanguage": headers.get("Content-Language"),
        "contentDisposition": headers.get("Content-Disposition"),
        "metadata": metadata,
    }
    if as_json:
        show.as_json(document)
        return
    document.pop("metadata")
    show.pairs([*document.items(), *((f"metadata.{name}", value) for name, value in sorted(metadata.items()))])


@click.command()
@click.argument("address", metavar="CONTAINER/KEY")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to a file, whole or not at all."
)
@click.option("--range", "byte_range", metavar="FIRST-LAST", help="Only these bytes, both included; -N for the last N.")
@_common
@reports_failures
async def cat(address: str, output: Path | None, byte_range: str | None, as_json: bool, **given: Any) -> None:
    """Read an object to standard output or a file."""
    if as_json and output is None:
        raise CommandError("--json goes with --output: standard output is the object itself.", exit_code=Exit.USAGE)
    where = Address.of_object(address)
    wanted = f"bytes={byte_range}" if byte_range else None
    async with _client(given) as client, client.read(where.container, where.key, byte_range=wanted) as download:
        chunks = show.with_progress(aiter(download), what=str(where), size_bytes=download.size_bytes)
        if output is None:
            async for chunk in chunks:
                await asyncio.to_thread(sys.stdout.buffer.write, chunk)
            sys.stdout.buffer.flush()
            return
        written = await _save(chunks, output)
    if as_json:
        show.as_json({"key": where.key, "file": str(output), "size": written})


async def _save(chunks: AsyncIterator[bytes], output: Path) -> int:
    """Write beside the file and rename: a download that fails leaves what was there."""
    descriptor, name = tempfile.mkstemp(prefix=f".{output.name}.", dir=output.parent)
    written = 0
    try:
        with os.fdopen(descriptor, "wb") as file:
            async for chunk in chunks:
                written += await asyncio.to_thread(file.write, chunk)
        Path(name).replace(output)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return written


@click.command()
@click.argument("source", metavar="FILE|-")
@click.argument("address", metavar="CONTAINER/KEY")
@click.option("--content-type", help="Default: by the file's name.")
@click.option("--meta", multiple=True, metavar="NAME=VALUE", help="User metadata; may be repeated.")
@click.option("--if-match", metavar="ETAG", help="Replace only this version.")
@click.option("--create-only", is_flag=True, help="Fail if the object exists.")
@click.option("--checksum/--no-checksum", default=True, help="Send a file's Content-MD5 (reads the file twice).")
@_common
@reports_failures
async def put(
    source: str,
    address: str,
    content_type: str | None,
    meta: tuple[str, ...],
    if_match: str | None,
    create_only: bool,
    checksum: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Write an object from a file or standard input: all of it, or nothing."""
    where = Address.of_object(address)
    headers = {"Content-Type": content_type or mimetypes.guess_type(source)[0] or "application/octet-stream"}
    for item in meta:
        name, separator, value = item.partition("=")
        if not separator:
            raise CommandError(f"--meta {item!r}: write NAME=VALUE.", exit_code=Exit.USAGE)
        headers[f"Stow-Meta-{name}"] = _percent_encoded(value)
    if if_match:
        headers["If-Match"] = f'"{if_match.strip(chr(34))}"'
    if create_only:
        headers["If-None-Match"] = "*"
    with contextlib.ExitStack() as stack:
        if source == "-":
            file: Any = sys.stdin.buffer
            size_bytes = None
        else:
            file, size_bytes = _opened(stack, source)
            if checksum:
                headers["Content-MD5"] = await asyncio.to_thread(_file_md5, file)
        async with _client(given) as client:
            body = show.with_progress(_chunks(file), what=str(where), size_bytes=size_bytes)
            answer = await client.write(where.container, where.key, body, size_bytes=size_bytes, headers=headers)
    etag = answer.get("ETag", "").strip('"')
    if as_json:
        show.as_json({"key": where.key, "etag": etag})
    else:
        click.echo(f"{where} written, etag {etag}")


def _opened(stack: contextlib.ExitStack, source: str) -> tuple[Any, int]:
    try:
        file = stack.enter_context(Path(source).open("rb"))  # noqa: SIM115 - the caller's stack closes it
    except OSError as error:
        raise CommandError(f"{source} cannot be read ({error.strerror}).", exit_code=Exit.USAGE) from error
    return file, os.fstat(file.fileno()).st_size


def _file_md5(file: Any) -> str:
    import hashlib

    digest = hashlib.md5(usedforsecurity=False)
    while chunk := file.read(CHUNK_BYTES):
        digest.update(chunk)
    file.seek(0)
    return b64encode(digest.digest()).decode()


async def _chunks(file: Any) -> AsyncIterator[bytes]:
    while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
        yield chunk


def _percent_encoded(value: str) -> str:
    from stow.storage.names import encode_metadata_value

    return encode_metadata_value(value)


@click.command()
@click.argument("addresses", metavar="CONTAINER/KEY...", nargs=-1, required=True)
@click.option("--if-match", metavar="ETAG", help="Delete only this version (needs a backend that can).")
@_common
@reports_failures
async def rm(addresses: tuple[str, ...], if_match: str | None, as_json: bool, **given: Any) -> None:
    """Delete objects; one that is absent already is success."""
    wheres = [Address.of_object(text) for text in addresses]
    tag = f'"{if_match.strip(chr(34))}"' if if_match and if_match != "*" else if_match
    async with _client(given) as client:
        for where in wheres:
            await client.delete(where.container, where.key, if_match=tag)
            if not as_json:
                click.echo(f"{show.visible(str(where))} deleted")
    if as_json:
        show.as_json({"deleted": [str(where) for where in wheres]})


@click.command()
@click.argument("source", metavar="CONTAINER/KEY")
@click.argument("destination", metavar="CONTAINER/KEY")
@_common
@reports_failures
async def cp(source: str, destination: str, as_json: bool, **given: Any) -> None:
    """Copy an object inside the store, without moving its bytes through here."""
    one, other = Address.of_object(source), Address.of_object(destination)
    async with _client(given) as client:
        result = await client.copy((one.container, one.key), (other.container, other.key))
    if as_json:
        show.as_json(result)
    else:
        click.echo(f"{show.visible(str(one))} copied to {show.visible(str(other))}")


@click.command()
@click.argument("address", metavar="CONTAINER/KEY")
@click.option("--method", type=click.Choice(["GET", "HEAD", "PUT", "DELETE"]), default="GET", show_default=True)
@click.option("--expires-in", metavar="DURATION", help="Such as 15m; default and maximum are the location's.")
@click.option("--content-type", help="PUT: the Content-Type that the client will have to send.")
@_common
@reports_failures
async def sign(
    address: str, method: str, expires_in: str | None, content_type: str | None, as_json: bool, **given: Any
) -> None:
    """Print a URL that allows one method on one object for a while, to whoever has it."""
    where = Address.of_object(address)
    document = {"method": method, "expiresIn": expires_in, "contentType": content_type}
    async with _client(given) as client:
        signed = await client.sign(where.container, where.key, {n: v for n, v in document.items() if v is not None})
    if as_json:
        show.as_json(signed)
        return
    click.echo(signed["url"])
    for name, value in signed.get("requiredHeaders", {}).items():
        click.echo(f"send with it: {name}: {value}", err=True)


VERBS: Final = (ls, stat, cat, put, rm, cp, sign)
