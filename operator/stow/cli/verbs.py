"""What the client verbs do, once the command line is read: arguments checked, the object API asked, the result shown."""

from __future__ import annotations

import mimetypes
import re
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final

import click

from stow.api.durations import format_duration
from stow.cli import show
from stow.cli.address import Address
from stow.cli.client import ObjectClient, Target
from stow.cli.connect import Options, connect, current_namespace, surroundings
from stow.cli.exits import CommandError, Exit
from stow.cli.text import visible
from stow.cli.transfer import STANDARD, opened_source, to_file, to_standard_output
from stow.errors import InvalidMetadataError
from stow.storage.names import check_metadata, decode_metadata_value, encode_metadata_value

PAGE: Final = 1000
_META: Final = "stow-meta-"
_RANGE: Final = re.compile(r"([0-9]{1,18})-([0-9]{1,18})?|-([0-9]{1,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Where:
    """The options that every verb has."""

    options: Options
    location: str | None
    cluster_location: str | None

    @asynccontextmanager
    async def client(self) -> AsyncIterator[ObjectClient]:
        """Raises:
        CommandError: also for whatever the gateway refuses.
        """
        if self.location and self.cluster_location:
            raise CommandError("--location and --cluster-location exclude each other.", exit_code=Exit.USAGE)
        here = surroundings()
        namespace = current_namespace(self.options, here)
        connection = await connect(self.options, namespace, here)
        async with ObjectClient(connection, Target(namespace, self.location, self.cluster_location)) as client:
            yield client


async def ls(where: Where, address: Address, *, recursive: bool, limit: int | None, as_json: bool) -> None:
    """Lines are printed page by page, so that a listing of any length takes no memory; the JSON document is one."""
    document: dict[str, Any] = {"objects": [], "prefixes": [], "truncated": False}
    count, cursor = 0, None
    async with where.client() as client:
        while True:
            wanted = PAGE if limit is None else min(PAGE, limit - count)
            page = await client.list(
                address.container, prefix=address.key, delimiter=None if recursive else "/", limit=wanted, cursor=cursor
            )
            objects, prefixes, cursor = page["objects"], page["prefixes"], page.get("cursor")
            count += len(objects) + len(prefixes)
            if as_json:
                document["objects"] += objects
                document["prefixes"] += prefixes
            else:
                _print_page(objects, prefixes)
            if cursor is None or (limit is not None and count >= limit):
                break
    if as_json:
        show.as_json(document | {"truncated": cursor is not None})
    elif cursor is not None:
        click.echo(f"stow: stopped after {count}; there are more", err=True)


def _print_page(objects: list[dict[str, Any]], prefixes: list[str]) -> None:
    lines = [(prefix, None, None) for prefix in prefixes]
    lines += [(each["key"], each["size"], each["lastModified"]) for each in objects]
    for line in sorted(lines, key=lambda line: line[0].encode("utf-8", "surrogatepass")):
        show.entry(*line)


async def stat(where: Where, address: Address, *, as_json: bool) -> None:
    async with where.client() as client:
        headers = await client.head(address.container, address.key)
    document: dict[str, Any] = {**address.document, **_attributes(headers)}
    if as_json:
        show.as_json(document)
        return
    nested = [
        (f"{kind}.{name}", value) for kind in ("checksums", "metadata") for name, value in document.pop(kind).items()
    ]
    show.pairs([*document.items(), *nested])


def _attributes(headers: Mapping[str, str]) -> dict[str, Any]:
    modified = headers.get("Last-Modified")
    found = {
        n.lower()[len(_META) :]: decode_metadata_value(v) for n, v in headers.items() if n.lower().startswith(_META)
    }
    return {
        "size": int(headers.get("Content-Length", "0")),
        "etag": headers.get("ETag", "").strip('"'),
        "lastModified": parsedate_to_datetime(modified).astimezone(UTC).isoformat() if modified else None,
        "contentType": headers.get("Content-Type"),
        "contentEncoding": headers.get("Content-Encoding"),
        "contentLanguage": headers.get("Content-Language"),
        "contentDisposition": headers.get("Content-Disposition"),
        "cacheControl": headers.get("Stow-Cache-Control"),
        "checksums": {name: headers.get(f"Stow-Checksum-{name.upper()}") for name in ("md5", "crc32c")},
        "metadata": dict(sorted(found.items())),
    }


async def cat(where: Where, address: Address, *, output: Path | None, byte_range: str | None, as_json: bool) -> None:
    if str(output) == STANDARD:
        output = None
    if as_json and output is None:
        raise CommandError("--json goes with --output: standard output is the object itself.", exit_code=Exit.USAGE)
    wanted = None if byte_range is None else _range(byte_range)
    async with where.client() as client, client.read(address.container, address.key, byte_range=wanted) as download:
        # A bar between the lines of an object that is shown on the same terminal helps nobody.
        drawn = output is not None or not (sys.stdout is not None and sys.stdout.isatty())
        chunks = show.with_progress(aiter(download), what=str(address), size_bytes=download.size_bytes, wanted=drawn)
        if output is None:
            await to_standard_output(chunks)
            return
        written = await to_file(chunks, output)
    if as_json:
        show.as_json({**address.document, "file": str(output), "size": written})


def _range(text: str) -> str:
    """A Range header. A malformed one would be ignored (RFC 9110 14.2), and the whole object sent."""
    found = _RANGE.fullmatch(text)
    if not found or (found[2] is not None and int(found[2]) < int(found[1])):
        raise CommandError(
            f"--range {text!r}: write FIRST-LAST, FIRST- or -LENGTH, for example 0-99.", exit_code=Exit.USAGE
        )
    return f"bytes={text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PutOptions:
    """How an object is written."""

    content_type: str | None
    meta: tuple[str, ...]
    if_match: str | None
    create_only: bool
    checksum: bool

    def headers(self, source: str) -> dict[str, str]:
        """Raises:
        CommandError: an option cannot stand in a header, or two exclude each other.
        """
        guessed = mimetypes.guess_type(source)
        # What is compressed by name only (report.csv.gz) is stored as it is, and must not come back as text/csv.
        content_type = self.content_type or (guessed[0] if guessed[1] is None else None) or "application/octet-stream"
        if not (content_type.isascii() and content_type.isprintable()):
            raise CommandError(f"--content-type {content_type!r} is no media type.", exit_code=Exit.USAGE)
        headers = {"Content-Type": content_type}
        headers |= {f"Stow-Meta-{name}": encode_metadata_value(value) for name, value in self._metadata().items()}
        if self.if_match is not None and self.create_only:
            raise CommandError("--if-match and --create-only exclude each other.", exit_code=Exit.USAGE)
        if self.if_match is not None:
            headers["If-Match"] = _etag(self.if_match)
        if self.create_only:
            headers["If-None-Match"] = "*"
        return headers

    def _metadata(self) -> dict[str, str]:
        metadata = named_values("--meta", self.meta)
        try:
            check_metadata(metadata)
        except InvalidMetadataError as error:
            raise CommandError(f"--meta: {error.message}", exit_code=Exit.USAGE) from error
        return metadata


def named_values(option: str, items: tuple[str, ...]) -> dict[str, str]:
    """``NAME=VALUE`` items as a mapping, names in lower case."""
    values: dict[str, str] = {}
    for item in items:
        name, separator, value = item.partition("=")
        name = name.lower()
        if not separator or name in values:
            raise CommandError(f"{option} {item!r}: write NAME=VALUE, each name once.", exit_code=Exit.USAGE)
        values[name] = value
    return values


def _etag(text: str) -> str:
    """The value of an If-Match header. Nothing (an unset variable in a script) is refused: it would mean no condition at all."""
    if text == "*":
        return text
    bare = text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text
    if not bare or '"' in bare or not all("!" <= c <= "~" for c in bare):
        raise CommandError(f"--if-match {text!r} is no etag; `stow stat` shows it.", exit_code=Exit.USAGE)
    return f'"{bare}"'


async def put(where: Where, source: str, address: Address, *, options: PutOptions, as_json: bool) -> None:
    headers = options.headers(source)
    with opened_source(source) as opened:
        if options.checksum and opened.size_bytes is not None:
            headers["Content-MD5"] = opened.content_md5()
        async with where.client() as client:
            body = show.with_progress(opened.chunks(), what=str(address), size_bytes=opened.size_bytes)
            answer = await client.write(
                address.container, address.key, body, size_bytes=opened.size_bytes, headers=headers
            )
    etag = answer.get("ETag", "").strip('"')
    if as_json:
        show.as_json({**address.document, "etag": etag})
    else:
        click.echo(f"{visible(str(address))} written, etag {visible(etag)}")


async def rm(where: Where, addresses: list[Address], *, if_match: str | None, as_json: bool) -> None:
    """Stops at the first failure; what was deleted until then is shown all the same."""
    if if_match is not None and len(addresses) > 1:
        raise CommandError("--if-match names one version: delete one object with it.", exit_code=Exit.USAGE)
    tag = None if if_match is None else _etag(if_match)
    deleted: list[Address] = []
    try:
        async with where.client() as client:
            for address in addresses:
                await client.delete(address.container, address.key, if_match=tag)
                deleted.append(address)
                if not as_json:
                    click.echo(f"{visible(str(address))} deleted")
    finally:
        if as_json and deleted:
            show.as_json({"deleted": [address.document for address in deleted]})


async def cp(where: Where, source: Address, destination: Address, *, as_json: bool) -> None:
    async with where.client() as client:
        result = await client.copy((source.container, source.key), (destination.container, destination.key))
    if as_json:
        show.as_json({"source": source.document, "destination": destination.document, **result})
    else:
        click.echo(f"{visible(str(source))} copied to {visible(str(destination))}")


@dataclass(frozen=True, slots=True)
class Bindings:
    """What a signed URL binds its user to, as it was typed."""

    content_type: str | None
    content_md5: str | None
    max_bytes: int | None
    headers: tuple[str, ...]
    response_headers: tuple[str, ...]

    def document(self) -> dict[str, object]:
        """The members of the request that are given."""
        members: dict[str, object] = {
            "contentType": self.content_type,
            "contentMD5": self.content_md5,
            "maxBytes": self.max_bytes,
            "headers": named_values("--header", self.headers) or None,
            "responseOverrides": named_values("--response-header", self.response_headers) or None,
        }
        return {name: value for name, value in members.items() if value is not None}


async def sign(
    where: Where,
    address: Address,
    *,
    method: str,
    expires_in: timedelta | None,
    bindings: Bindings,
    as_json: bool,
) -> None:
    document = {"method": method, **bindings.document()}
    document |= {} if expires_in is None else {"expiresIn": format_duration(expires_in)}
    async with where.client() as client:
        signed = await client.sign(address.container, address.key, document)
    if as_json:
        show.as_json(signed)
        return
    click.echo(visible(signed["url"]))
    for name, value in signed.get("requiredHeaders", {}).items():
        click.echo(f"send with it: {visible(name)}: {visible(value)}", err=True)
