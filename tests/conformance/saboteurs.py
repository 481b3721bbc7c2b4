"""Drivers and stores that break one promise each. The suite has to catch every one of them, or it proves nothing.

Each is a wrapper of the memory driver, which keeps them all; :data:`SABOTEURS` says which promises have to notice.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import socket
import time
import unicodedata
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import Any, Final

from conformance.wrappers import Lacking, Stream, Wrapper
from stow.errors import (
    AccessDeniedError,
    BackendUnreachableError,
    BodyError,
    ContainerNotFoundError,
    ContainerTakenError,
    ObjectNotFoundError,
    StowError,
)
from stow.storage.driver import SignRequest
from stow.storage.model import (
    ByteRange,
    ContainerContents,
    ContainerSettings,
    CopyOptions,
    Listing,
    Marker,
    Method,
    ObjectAttributes,
    ObjectMetadata,
    SignedURL,
    WriteOptions,
)


async def _bytes_of(body: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in body])


async def _once(data: bytes) -> AsyncIterator[bytes]:
    if data:
        yield data


class Writing(Wrapper):
    """Base of those that change what is written."""

    def change(self, data: bytes) -> bytes:
        return data

    def options(self, options: WriteOptions) -> WriteOptions:
        return options

    async def write(
        self, container: str, key: str, body: AsyncIterator[bytes], *, size_bytes: int | None, options: WriteOptions
    ) -> ObjectMetadata:
        data = self.change(await _bytes_of(body))
        return await self.inner.write(container, key, _once(data), size_bytes=None, options=self.options(options))


class TruncatesOnWrite(Writing):
    def change(self, data: bytes) -> bytes:
        return data[:-1]


class InflatesGzip(Writing):
    def change(self, data: bytes) -> bytes:
        return gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data


class IgnoresIfNoneMatch(Writing):
    def options(self, options: WriteOptions) -> WriteOptions:
        return replace(options, if_none_match=False)


class IgnoresIfMatch(Writing):
    def options(self, options: WriteOptions) -> WriteOptions:
        return replace(options, if_match=None)


class LosesMetadata(Writing):
    def options(self, options: WriteOptions) -> WriteOptions:
        return replace(options, attributes=replace(options.attributes, metadata={}))


class LosesAttributes(Writing):
    def options(self, options: WriteOptions) -> WriteOptions:
        return replace(options, attributes=ObjectAttributes(metadata=options.attributes.metadata))


class RacyCreateOnce(Writing):
    """Looks first, writes afterwards."""

    async def write(
        self, container: str, key: str, body: AsyncIterator[bytes], *, size_bytes: int | None, options: WriteOptions
    ) -> ObjectMetadata:
        if options.if_none_match:
            try:
                await self.inner.head(container, key)
            except ObjectNotFoundError:
                options = replace(options, if_none_match=False)
                await asyncio.sleep(0)
        return await self.inner.write(container, key, body, size_bytes=size_bytes, options=options)


class KeepsWhatWasCut(Wrapper):
    """Publishes what it has when the body breaks off."""

    async def write(
        self, container: str, key: str, body: AsyncIterator[bytes], *, size_bytes: int | None, options: WriteOptions
    ) -> ObjectMetadata:
        parts: list[bytes] = []
        try:
            async for chunk in body:
                parts.append(chunk)  # noqa: PERF401  what came before the cut is the point
        except BaseException:
            await self.inner.write(container, key, _once(b"".join(parts)), size_bytes=None, options=options)
            raise
        return await self.inner.write(container, key, _once(b"".join(parts)), size_bytes=None, options=options)


class ReplacesInPlace(Wrapper):
    """Takes the old object away before the new one is there."""

    async def write(
        self, container: str, key: str, body: AsyncIterator[bytes], *, size_bytes: int | None, options: WriteOptions
    ) -> ObjectMetadata:
        if options.if_match is None and not options.if_none_match:
            await self.inner.delete(container, key, if_match=None)
        return await self.inner.write(container, key, body, size_bytes=size_bytes, options=options)


class TakesShortBodies(Wrapper):
    """Believes that a body that ended early is complete."""

    async def write(
        self, container: str, key: str, body: AsyncIterator[bytes], *, size_bytes: int | None, options: WriteOptions
    ) -> ObjectMetadata:
        async def forgiving() -> AsyncIterator[bytes]:
            try:
                async for chunk in body:
                    yield chunk
            except BodyError:
                return

        return await self.inner.write(container, key, forgiving(), size_bytes=None, options=options)


class CreatesOnWrite(Wrapper):
    """Fault 1: makes the missing container, says success, stores nothing."""

    async def write(
        self, container: str, key: str, body: AsyncIterator[bytes], *, size_bytes: int | None, options: WriteOptions
    ) -> ObjectMetadata:
        if not await self.inner.container_exists(container):
            await self.inner.create_container(container, None)
            return ObjectMetadata(exists=True)
        return await self.inner.write(container, key, body, size_bytes=size_bytes, options=options)


class Renaming(Wrapper):
    """Base of those that store a key under another name."""

    def name(self, key: str) -> str:
        return key

    async def write(
        self, container: str, key: str, body: AsyncIterator[bytes], *, size_bytes: int | None, options: WriteOptions
    ) -> ObjectMetadata:
        return await self.inner.write(container, self.name(key), body, size_bytes=size_bytes, options=options)

    async def head(self, container: str, key: str) -> ObjectMetadata:
        return await self.inner.head(container, self.name(key))

    async def read(self, container: str, key: str, byte_range: ByteRange | None) -> Any:
        return await self.inner.read(container, self.name(key), byte_range)

    async def delete(self, container: str, key: str, *, if_match: str | None) -> None:
        await self.inner.delete(container, self.name(key), if_match=if_match)


class CollapsesSlashes(Renaming):
    def name(self, key: str) -> str:
        while "//" in key:
            key = key.replace("//", "/")
        return key


class DropsTheLeadingSlash(Renaming):
    def name(self, key: str) -> str:
        return key.lstrip("/") or key


class NormalisesUnicode(Renaming):
    def name(self, key: str) -> str:
        return unicodedata.normalize("NFC", key)


class SpacesBecomePluses(Renaming):
    def name(self, key: str) -> str:
        return key.replace(" ", "+")


class FoldsCase(Renaming):
    def name(self, key: str) -> str:
        return key.lower()


class ResolvesDots(Renaming):
    def name(self, key: str) -> str:
        parts: list[str] = []
        for part in key.split("/"):
            if part == "..":
                parts = parts[:-1]
            elif part != ".":
                parts.append(part)
        return "/".join(parts) or key


class AnswersForAPrefix(Wrapper):
    """Fault 5: head("foo") answers for foobar."""

    async def head(self, container: str, key: str) -> ObjectMetadata:
        found = await self.inner.list(container, prefix=key, delimiter=None, limit=1, token=None)
        if not found.objects:
            raise ObjectNotFoundError("The object does not exist.")
        return await self.inner.head(container, found.objects[0].key)


class DeletesByPrefix(Wrapper):
    async def delete(self, container: str, key: str, *, if_match: str | None) -> None:
        await self.inner.delete(container, key, if_match=if_match)
        found = await self.inner.list(container, prefix=key, delimiter=None, limit=1000, token=None)
        for listed in found.objects:
            await self.inner.delete(container, listed.key, if_match=None)


class MissingContainerIsAnAbsentObject(Wrapper):
    """Fault 4, first half."""

    async def head(self, container: str, key: str) -> ObjectMetadata:
        try:
            return await self.inner.head(container, key)
        except ContainerNotFoundError:
            raise ObjectNotFoundError("The object does not exist.") from None


class DeniedIsAbsent(Wrapper):
    """Fault 4, second half; applied to the denied driver of the kind."""

    async def head(self, container: str, key: str) -> ObjectMetadata:
        try:
            return await self.inner.head(container, key)
        except (AccessDeniedError, BackendUnreachableError):
            raise ObjectNotFoundError("The object does not exist.") from None


class UnlistableIsEmpty(Wrapper):
    """Fault 10: a listing's errors read as "nothing there"."""

    async def list(self, container: str, **how: Any) -> Listing:
        try:
            return await self.inner.list(container, **how)
        except StowError:
            return Listing(())


class UnknownContainerIsAbsent(Wrapper):
    async def container_exists(self, name: str) -> bool:
        try:
            return await self.inner.container_exists(name)
        except StowError:
            return False


class DropsTheLastPage(Wrapper):
    async def list(self, container: str, **how: Any) -> Listing:
        page = await self.inner.list(container, **how)
        return Listing(()) if how["token"] is not None and page.token is None else page


class CutsAfterOnePage(Wrapper):
    async def list(self, container: str, **how: Any) -> Listing:
        return replace(await self.inner.list(container, **how), token=None)


class RepeatsTheLastKey(Wrapper):
    """Its token points at the last entry, not behind it."""

    async def list(self, container: str, **how: Any) -> Listing:
        page = await self.inner.list(container, **how)
        if how["token"] is None or how["limit"] < 2:
            return page
        again = await self.inner.list(container, **{**how, "token": None, "limit": 1})
        return replace(page, objects=again.objects + page.objects[: how["limit"] - 1])


class ListsUnsorted(Wrapper):
    async def list(self, container: str, **how: Any) -> Listing:
        page = await self.inner.list(container, **how)
        return replace(page, objects=tuple(reversed(page.objects)))


class IgnoresTheDelimiter(Wrapper):
    async def list(self, container: str, **how: Any) -> Listing:
        return await self.inner.list(container, **{**how, "delimiter": None})


class IgnoresThePrefix(Wrapper):
    async def list(self, container: str, **how: Any) -> Listing:
        return await self.inner.list(container, **{**how, "prefix": ""})


class TreatsAPrefixAsAFolder(Wrapper):
    async def list(self, container: str, **how: Any) -> Listing:
        prefix = how["prefix"]
        return await self.inner.list(
            container, **{**how, "prefix": prefix if prefix.endswith("/") or not prefix else prefix + "/"}
        )


class ListsEscapedKeys(Wrapper):
    """Fault 10: what it lists is not what head takes."""

    async def list(self, container: str, **how: Any) -> Listing:
        page = await self.inner.list(container, **how)
        return replace(page, objects=tuple(replace(o, key=ascii(o.key)[1:-1]) for o in page.objects))


class OffsetCursor(Wrapper):
    """Its token is a count, so that deletes shift the rest."""

    async def list(self, container: str, **how: Any) -> Listing:
        skip = int(how["token"] or 0)
        page = await self.inner.list(container, **{**how, "token": None, "limit": 1000})
        wanted = page.objects[skip : skip + how["limit"]]
        more = skip + how["limit"] < len(page.objects)
        return Listing(wanted, (), str(skip + how["limit"]) if more else None)


class StaleETag(Wrapper):
    """Answers a write with the ETag of the version before."""

    async def write(
        self, container: str, key: str, body: AsyncIterator[bytes], *, size_bytes: int | None, options: WriteOptions
    ) -> ObjectMetadata:
        try:
            old = (await self.inner.head(container, key)).etag
        except StowError:
            old = None
        written = await self.inner.write(container, key, body, size_bytes=size_bytes, options=options)
        return replace(written, etag=old or written.etag)


class UnpinnedRead(Wrapper):
    """Fault 9: takes each chunk from whatever version is there."""

    async def read(self, container: str, key: str, byte_range: ByteRange | None) -> Any:
        opened = await self.inner.read(container, key, byte_range)
        at = opened.start

        async def moving(_: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
            position = at
            while position < opened.end:
                end = min(position + (1 << 18), opened.end)
                stream = await self.inner.read(container, key, ByteRange(position, end))
                async with stream:
                    data = b"".join([chunk async for chunk in stream])
                yield data
                position += len(data)

        # No checksum either: it could not be that of a mix.
        return Stream(opened, moving, metadata=replace(opened.metadata, md5=None, crc32c=None))


class IgnoresRanges(Wrapper):
    async def read(self, container: str, key: str, byte_range: ByteRange | None) -> Any:
        return await self.inner.read(container, key, None)


class OffByOneRange(Wrapper):
    async def read(self, container: str, key: str, byte_range: ByteRange | None) -> Any:
        if byte_range is not None and byte_range.end is not None:
            byte_range = replace(byte_range, end=byte_range.end + 1)
        return await self.inner.read(container, key, byte_range)


class WrongLength(Wrapper):
    """Says a byte more than there is."""

    async def head(self, container: str, key: str) -> ObjectMetadata:
        found = await self.inner.head(container, key)
        return replace(found, size_bytes=found.size_bytes + 1)


class AnnouncesMoreThanItReads(Wrapper):
    """The stream's end is behind the bytes that come."""

    async def read(self, container: str, key: str, byte_range: ByteRange | None) -> Any:
        opened = await self.inner.read(container, key, byte_range)
        metadata = replace(opened.metadata, size_bytes=opened.metadata.size_bytes + 1, md5=None, crc32c=None)
        stream = Stream(opened, lambda chunks: chunks, metadata=metadata)
        stream.end += 1
        return stream


class CopyCreatesContainers(Wrapper):
    """Fault 1, by way of a copy."""

    async def copy(self, source: tuple[str, str], destination: tuple[str, str], options: CopyOptions) -> ObjectMetadata:
        if not await self.inner.container_exists(destination[0]):
            await self.inner.create_container(destination[0], None)
        return await self.inner.copy(source, destination, options)


class NaiveTimes(Wrapper):
    async def head(self, container: str, key: str) -> ObjectMetadata:
        found = await self.inner.head(container, key)
        return replace(found, last_modified=found.last_modified and found.last_modified.replace(tzinfo=None))


class NoChecksum(Wrapper):
    """Declares integrity, gives no checksum with a read."""

    async def read(self, container: str, key: str, byte_range: ByteRange | None) -> Any:
        opened = await self.inner.read(container, key, byte_range)
        return Stream(opened, lambda chunks: chunks, metadata=replace(opened.metadata, md5=None, crc32c=None))


class DeleteOfNothingFails(Wrapper):
    async def delete(self, container: str, key: str, *, if_match: str | None) -> None:
        try:
            await self.inner.head(container, key)
        except ObjectNotFoundError:
            raise StowError("There is nothing to delete.") from None
        await self.inner.delete(container, key, if_match=if_match)


class DeleteIgnoresIfMatch(Wrapper):
    async def delete(self, container: str, key: str, *, if_match: str | None) -> None:
        await self.inner.delete(container, key, if_match=None)


class DeleteDoesNothing(Wrapper):
    async def delete(self, container: str, key: str, *, if_match: str | None) -> None:
        await self.inner.head(container, key)


class CopyLosesAttributes(Wrapper):
    async def copy(self, source: tuple[str, str], destination: tuple[str, str], options: CopyOptions) -> ObjectMetadata:
        return await self.inner.copy(source, destination, replace(options, attributes=ObjectAttributes()))


class CopyIgnoresConditions(Wrapper):
    async def copy(self, source: tuple[str, str], destination: tuple[str, str], options: CopyOptions) -> ObjectMetadata:
        return await self.inner.copy(source, destination, CopyOptions(attributes=options.attributes))


class CopyOfNothingIsEmpty(Wrapper):
    async def copy(self, source: tuple[str, str], destination: tuple[str, str], options: CopyOptions) -> ObjectMetadata:
        try:
            return await self.inner.copy(source, destination, options)
        except ObjectNotFoundError:
            return await self.inner.write(*destination, _once(b""), size_bytes=0, options=WriteOptions())


class TakesTakenContainers(Wrapper):
    """Fault 6: every conflict is "already mine"."""

    async def create_container(self, name: str, marker: Marker | None) -> None:
        try:
            await self.inner.create_container(name, marker)
        except ContainerTakenError:
            return


class OverwritesMarkers(Wrapper):
    async def create_container(self, name: str, marker: Marker | None) -> None:
        if await self.inner.container_exists(name):
            await self.inner.write_marker(name, marker)
            return
        await self.inner.create_container(name, marker)


class ForgetsMarkers(Wrapper):
    async def read_marker(self, name: str) -> Marker | None:
        await self.inner.read_marker(name)
        return None


class EveryContainerExists(Wrapper):
    """Fault 6: the existence check is skipped."""

    async def container_exists(self, name: str) -> bool:
        return True


class LoadingCreates(Wrapper):
    async def container_exists(self, name: str) -> bool:
        if not await self.inner.container_exists(name):
            await self.inner.create_container(name, None)
        return True


class DeletesFullContainers(Wrapper):
    async def delete_container(self, name: str) -> None:
        if not await self.inner.container_exists(name):
            return
        found = await self.inner.list(name, prefix="", delimiter=None, limit=1000, token=None)
        for listed in found.objects:
            await self.inner.delete(name, listed.key, if_match=None)
        await self.inner.delete_container(name)


class EverythingIsEmpty(Wrapper):
    async def container_contents(self, name: str) -> ContainerContents:
        await self.inner.container_contents(name)
        return ContainerContents()


class MissingContainerCannotGo(Wrapper):
    async def delete_container(self, name: str) -> None:
        if not await self.inner.container_exists(name):
            raise ContainerNotFoundError("There is no such container.")
        await self.inner.delete_container(name)


class LeaksInErrors(Wrapper):
    """Puts the request's URL with its signature into the error."""

    async def head(self, container: str, key: str) -> ObjectMetadata:
        try:
            return await self.inner.head(container, key)
        except StowError as error:
            error.message = f"GET https://backend/{container}/{key}?X-Amz-Signature=0123 failed"
            error.args = (error.message,)
            raise

    async def read(self, container: str, key: str, byte_range: ByteRange | None) -> Any:
        try:
            return await self.inner.read(container, key, byte_range)
        except StowError as error:
            error.args = (f"https://backend/{container}?sig=0123",)
            raise

    async def delete_container(self, name: str) -> None:
        try:
            await self.inner.delete_container(name)
        except StowError as error:
            error.args = (f"https://backend/{name}?sig=0123",)
            raise


class SignsForever(Wrapper):
    async def sign(self, request: SignRequest) -> SignedURL:
        signed = await self.inner.sign(request)
        return replace(signed, expires_at=signed.expires_at.replace(year=signed.expires_at.year + 1))


class SignsAnotherMethod(Wrapper):
    async def sign(self, request: SignRequest) -> SignedURL:
        return await self.inner.sign(replace(request, method=Method.DELETE))


class AnswersLengthOfMD5(Wrapper):
    """Fault 8."""

    async def sign(self, request: SignRequest) -> SignedURL:
        signed = await self.inner.sign(request)
        md5 = signed.required_headers.get("Content-MD5", "")
        return replace(signed, required_headers={**signed.required_headers, "Content-Length": str(len(md5))})


class ProbeWantsTheContainer(Wrapper):
    """Takes a missing base container for an outage."""

    async def probe(self, container: str | None) -> None:
        if container is not None and not await self.inner.container_exists(container):
            raise ContainerNotFoundError("The base container does not exist.")


class LeavesUploads(Wrapper):
    """A failed write leaves something behind that only container_contents shows."""

    failed = False

    async def write(
        self, container: str, key: str, body: AsyncIterator[bytes], *, size_bytes: int | None, options: WriteOptions
    ) -> ObjectMetadata:
        try:
            return await self.inner.write(container, key, body, size_bytes=size_bytes, options=options)
        except BaseException:
            self.failed = True
            raise

    async def container_contents(self, name: str) -> ContainerContents:
        found = await self.inner.container_contents(name)
        return replace(found, uploads=1) if self.failed else found


class DrainsCancelledWrites(Wrapper):
    """Fault 9: goes on behind the back of a caller who has gone."""

    async def write(
        self, container: str, key: str, body: AsyncIterator[bytes], *, size_bytes: int | None, options: WriteOptions
    ) -> ObjectMetadata:
        parts: list[bytes] = []
        try:
            async for chunk in body:
                parts.append(chunk)  # noqa: PERF401
        except asyncio.CancelledError:
            await self.inner.write(container, key, _once(b"".join(parts)), size_bytes=None, options=options)
            raise
        return await self.inner.write(container, key, _once(b"".join(parts)), size_bytes=None, options=options)


class FlipsABit(Wrapper):
    """Gives back other bytes than were stored."""

    async def read(self, container: str, key: str, byte_range: ByteRange | None) -> Any:
        opened = await self.inner.read(container, key, byte_range)

        async def torn(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
            async for chunk in chunks:
                yield chunk[:-1] + bytes([chunk[-1] ^ 1])

        return Stream(opened, torn)


class KeepsSettings(Lacking):
    """No saboteur: gives the memory driver the settings of containers that it has not, in ``kept``."""

    def __init__(self, inner: Any, kept: dict[str, ContainerSettings]) -> None:
        super().__init__(inner, tags=True, versioning=True, expiry_rules=True)
        self._kept = kept

    async def container_settings(self, name: str, asked: ContainerSettings | None = None) -> ContainerSettings:
        await self.inner.container_settings(name, asked)
        return self._kept.get(name, ContainerSettings(tags={}, versioning=False, expire_after_days=0))

    async def configure_container(self, name: str, settings: ContainerSettings) -> None:
        found = await self.container_settings(name)
        given = {each.name: getattr(settings, each.name) for each in fields(settings)}
        self._kept[name] = replace(found, **{field: value for field, value in given.items() if value is not None})


class MixesVersions(Wrapper):
    """Reads an object in two halves, each from the version that is there then."""

    async def read(self, container: str, key: str, byte_range: ByteRange | None) -> Any:
        opened = await self.inner.read(container, key, byte_range)

        async def halves(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
            middle = (opened.start + opened.end) // 2
            left = middle - opened.start
            async for chunk in chunks:
                yield chunk[:left]
                left -= len(chunk)
                if left <= 0:
                    break
            await asyncio.sleep(0)
            async with await self.inner.read(container, key, ByteRange(middle, opened.end)) as rest:
                async for chunk in rest:
                    yield chunk

        return Stream(opened, halves, metadata=replace(opened.metadata, md5=None, crc32c=None))


class CopyDropsMetadata(Wrapper):
    """Keeps the header-like attributes of the source, but not its metadata."""

    async def copy(self, source: tuple[str, str], destination: tuple[str, str], options: CopyOptions) -> ObjectMetadata:
        found = await self.inner.head(*source)
        kept = options.attributes or replace(found.attributes, metadata={})
        return await self.inner.copy(source, destination, replace(options, attributes=kept))


class Signing(Wrapper):
    """Base of those that sign something else than they say."""

    def change(self, request: SignRequest) -> SignRequest:
        return request

    async def sign(self, request: SignRequest) -> SignedURL:
        signed = await self.inner.sign(self.change(request))
        return replace(signed, method=request.method, expires_at=min(signed.expires_at, request.expires_at))


class IgnoresBindings(Signing):
    """Lists the headers to send, but signs none of them."""

    async def sign(self, request: SignRequest) -> SignedURL:
        bare = replace(request, content_md5=None, content_type=None, max_size_bytes=None)
        said = (await self.inner.sign(request)).required_headers
        return replace(await self.inner.sign(bare), required_headers=said)


class KeepsHeadersToItself(Signing):
    """Signs the headers, but lists none of them."""

    async def sign(self, request: SignRequest) -> SignedURL:
        return replace(await self.inner.sign(request), required_headers={})


class SignsLongerThanItSays(Signing):
    def change(self, request: SignRequest) -> SignRequest:
        return replace(request, expires_at=request.expires_at + timedelta(hours=1))


class SignsAnotherKey(Signing):
    def change(self, request: SignRequest) -> SignRequest:
        return replace(request, key=request.key + "/other")


class ServesUnsigned(Signing):
    """Hands out the address alone, as a public container lets anybody use it; here it leads nowhere, which looks the same."""

    async def sign(self, request: SignRequest) -> SignedURL:
        signed = await self.inner.sign(request)
        return replace(signed, url=signed.url.partition("?")[0] + "?public")


class LogsSignedURLs(Signing):
    """Tells them to whoever sets the log to DEBUG."""

    async def sign(self, request: SignRequest) -> SignedURL:
        signed = await self.inner.sign(request)
        logging.getLogger("saboteur").debug("signed %s", signed.url)
        return signed


class ForgetsTags(Wrapper):
    async def configure_container(self, name: str, settings: ContainerSettings) -> None:
        await self.inner.configure_container(name, replace(settings, tags=None))


class MergesTags(Wrapper):
    """Adds the new tags to the old ones."""

    async def configure_container(self, name: str, settings: ContainerSettings) -> None:
        if settings.tags is not None:
            old = (await self.inner.container_settings(name)).tags or {}
            settings = replace(settings, tags={**old, **settings.tags})
        await self.inner.configure_container(name, settings)


class TagsOverTheMarker(Wrapper):
    """Takes the marker for one of the tags that it replaces."""

    async def configure_container(self, name: str, settings: ContainerSettings) -> None:
        if settings.tags is not None:
            await self.inner.write_marker(name, None)
        await self.inner.configure_container(name, settings)


class VersionsOnceAndForAll(Wrapper):
    """Never switches versioning off, nor the expiry."""

    async def configure_container(self, name: str, settings: ContainerSettings) -> None:
        versioning, days = settings.versioning or None, settings.expire_after_days or None
        await self.inner.configure_container(name, replace(settings, versioning=versioning, expire_after_days=days))


class ConfiguringCreates(Wrapper):
    async def container_settings(self, name: str, asked: ContainerSettings | None = None) -> ContainerSettings:
        if not await self.inner.container_exists(name):
            await self.inner.create_container(name, None)
        return await self.inner.container_settings(name, asked)


class LeavesASocket(Wrapper):
    """Opens a connection of its own and forgets it."""

    async def head(self, container: str, key: str) -> ObjectMetadata:
        if not FORGOTTEN:
            FORGOTTEN.extend(socket.socketpair())
        return await self.inner.head(container, key)

    async def aclose(self) -> None:
        await self.inner.aclose()


class LeavesATask(Wrapper):
    """Looks after something in the background, and does not stop when it is closed."""

    async def probe(self, container: str | None) -> None:
        FORGOTTEN.append(asyncio.create_task(asyncio.Event().wait()))
        await self.inner.probe(container)


FORGOTTEN: Final[list[Any]] = []
"""What the two above left; the tests of the suite end it."""


class BlocksTheLoop(Wrapper):
    """Asks the disk on the loop's thread."""

    async def head(self, container: str, key: str) -> ObjectMetadata:
        time.sleep(0.001)  # noqa: ASYNC251  that is the sabotage
        return await self.inner.head(container, key)


@dataclass(frozen=True, slots=True)
class Saboteur:
    """``make`` wraps the good driver, with ``outside`` the denied and the unreachable one. Each promise of ``caught_by`` has to fail."""

    make: Callable[[Any], Wrapper]
    caught_by: tuple[str, ...]
    outside: bool = False


SABOTEURS: Final[tuple[Saboteur, ...]] = (
    Saboteur(TruncatesOnWrite, ("write-replaces", "read-whole", "write-of-unknown-size")),
    Saboteur(InflatesGzip, ("bytes-are-opaque",)),
    Saboteur(IgnoresIfNoneMatch, ("create-once", "create-once-has-one-winner")),
    Saboteur(RacyCreateOnce, ("create-once-has-one-winner",)),
    Saboteur(IgnoresIfMatch, ("write-if-match", "write-if-match-has-one-winner")),
    Saboteur(LosesMetadata, ("attributes-come-back", "attributes-survive-unknown-size", "metadata-up-to-its-limit")),
    Saboteur(LosesAttributes, ("attributes-come-back",)),
    Saboteur(
        KeepsWhatWasCut, ("cut-write-leaves-nothing", "cut-write-leaves-the-old", "cancelled-write-leaves-the-old")
    ),
    Saboteur(ReplacesInPlace, ("cut-write-leaves-the-old", "short-body-is-refused", "cancelled-write-leaves-the-old")),
    Saboteur(TakesShortBodies, ("short-body-is-refused", "long-body-is-refused")),
    Saboteur(CreatesOnWrite, ("write-never-creates-a-container",)),
    Saboteur(CollapsesSlashes, ("keys-stay-distinct", "listed-key-is-the-written-key")),
    Saboteur(
        DropsTheLeadingSlash,
        ("keys-stay-distinct", "listed-key-is-the-written-key", "key-round-trips-through-every-verb"),
    ),
    Saboteur(NormalisesUnicode, ("keys-stay-distinct", "listed-key-is-the-written-key")),
    Saboteur(
        SpacesBecomePluses,
        ("keys-stay-distinct", "listed-key-is-the-written-key", "key-round-trips-through-every-verb"),
    ),
    Saboteur(FoldsCase, ("keys-stay-distinct", "listed-key-is-the-written-key")),
    Saboteur(ResolvesDots, ("keys-stay-distinct", "listed-key-is-the-written-key")),
    Saboteur(AnswersForAPrefix, ("head-answers-for-the-exact-key",)),
    Saboteur(DeletesByPrefix, ("head-answers-for-the-exact-key", "delete-removes")),
    Saboteur(MissingContainerIsAnAbsentObject, ("container-absent",)),
    Saboteur(DeniedIsAbsent, ("denied-is-not-absent", "unreachable-is-not-absent"), outside=True),
    Saboteur(UnlistableIsEmpty, ("denied-is-not-absent", "unreachable-is-not-absent"), outside=True),
    Saboteur(UnknownContainerIsAbsent, ("denied-container-is-not-absent",), outside=True),
    Saboteur(DropsTheLastPage, ("list-pages-give-each-key-once", "list-prefix-is-no-folder")),
    Saboteur(CutsAfterOnePage, ("list-pages-give-each-key-once", "list-last-page-has-no-cursor", "list-of-many-keys")),
    Saboteur(RepeatsTheLastKey, ("list-pages-give-each-key-once", "list-skips-nothing-untouched")),
    Saboteur(ListsUnsorted, ("list-in-byte-order",)),
    Saboteur(IgnoresTheDelimiter, ("list-delimiter-folds",)),
    Saboteur(IgnoresThePrefix, ("list-prefix-is-no-folder", "list-prefix-that-is-a-key")),
    Saboteur(TreatsAPrefixAsAFolder, ("list-prefix-is-no-folder",)),
    Saboteur(ListsEscapedKeys, ("list-references-round-trip", "listed-key-is-the-written-key")),
    Saboteur(OffsetCursor, ("list-skips-nothing-untouched",)),
    Saboteur(StaleETag, ("etag-names-the-version", "write-replaces")),
    Saboteur(UnpinnedRead, ("read-is-pinned", "damaged-object-is-never-read-to-its-end")),
    Saboteur(IgnoresRanges, ("read-range",)),
    Saboteur(OffByOneRange, ("read-range",)),
    Saboteur(WrongLength, ("write-says-what-was-stored", "head-equals-read")),
    Saboteur(AnnouncesMoreThanItReads, ("read-whole", "read-range")),
    Saboteur(CopyCreatesContainers, ("copy-into-a-missing-container",)),
    Saboteur(NaiveTimes, ("write-says-what-was-stored",)),
    Saboteur(NoChecksum, ("damaged-object-is-never-read-to-its-end",)),
    Saboteur(FlipsABit, ("read-whole", "checksum-covers-streamed-writes")),
    Saboteur(DeleteOfNothingFails, ("delete-is-idempotent",)),
    Saboteur(DeleteIgnoresIfMatch, ("delete-if-match", "delete-if-match-any")),
    Saboteur(DeleteDoesNothing, ("delete-removes",)),
    Saboteur(CopyLosesAttributes, ("copy-keeps-bytes-and-attributes",)),
    Saboteur(CopyIgnoresConditions, ("copy-under-conditions", "copy-over-one-version")),
    Saboteur(CopyOfNothingIsEmpty, ("copy-of-a-missing-source", "object-absent")),
    Saboteur(
        TakesTakenContainers,
        (
            "a-taken-name-is-refused",
            "a-container-is-created-once",
            "one-of-many-creates-wins",
            "an-unmarked-container-is-nobodys",
        ),
    ),
    Saboteur(OverwritesMarkers, ("a-taken-name-is-refused", "an-unmarked-container-is-nobodys")),
    Saboteur(
        ForgetsMarkers,
        ("marker-round-trip", "our-own-container-is-returned", "marked-container-is-not-loaded-on-demand"),
    ),
    Saboteur(EveryContainerExists, ("load-of-a-missing-container",)),
    Saboteur(LoadingCreates, ("load-of-a-missing-container", "dynamic-container-is-loaded-once")),
    Saboteur(DeletesFullContainers, ("delete-of-a-full-container-is-refused",)),
    Saboteur(EverythingIsEmpty, ("delete-of-a-full-container-is-refused",)),
    Saboteur(MissingContainerCannotGo, ("delete-of-a-missing-container",)),
    Saboteur(LeaksInErrors, ("errors-tell-no-secret",)),
    Saboteur(SignsForever, ("sign-lifetime-is-bounded", "sign-gives-a-url")),
    Saboteur(SignsAnotherMethod, ("sign-gives-a-url",)),
    Saboteur(AnswersLengthOfMD5, ("sign-names-the-headers-to-send",)),
    Saboteur(ProbeWantsTheContainer, ("probe-answers",)),
    Saboteur(LeavesUploads, ("failed-write-leaves-no-upload",)),
    Saboteur(MixesVersions, ("read-has-one-version-under-load", "read-is-pinned")),
    Saboteur(CopyDropsMetadata, ("copy-keeps-bytes-and-attributes",)),
    Saboteur(IgnoresBindings, ("sign-binds-content-md5", "sign-binds-content-type", "sign-binds-max-size")),
    Saboteur(KeepsHeadersToItself, ("sign-binds-content-md5", "sign-names-the-headers-to-send")),
    Saboteur(SignsLongerThanItSays, ("signed-url-expires",)),
    Saboteur(SignsAnotherKey, ("signed-get-works", "signed-head-works", "signed-put-works", "signed-delete-works")),
    Saboteur(ServesUnsigned, ("signed-get-works", "altered-signed-url-is-refused")),
    Saboteur(LogsSignedURLs, ("errors-tell-no-secret",)),
    Saboteur(ForgetsTags, ("container-tags", "container-settings-together")),
    Saboteur(MergesTags, ("container-tags",)),
    Saboteur(TagsOverTheMarker, ("container-tags", "container-settings-together")),
    Saboteur(VersionsOnceAndForAll, ("container-versioning", "container-expiry", "container-settings-together")),
    Saboteur(ConfiguringCreates, ("settings-of-a-missing-container",)),
    Saboteur(LeavesASocket, ("nothing-is-left-open",)),
    Saboteur(LeavesATask, ("nothing-is-left-open",)),
    Saboteur(BlocksTheLoop, ("the-loop-is-never-blocked",)),
    Saboteur(DrainsCancelledWrites, ("cancelled-write-leaves-the-old", "cancelled-write-ends-its-io")),
)
