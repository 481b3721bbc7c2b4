"""Server-side copy of any size: CopyObject up to 5 GiB, UploadPartCopy above.

The source is asked first, for its size, and the version that was seen is the one that is copied. A conditional copy always goes by parts:
CompleteMultipartUpload takes conditions everywhere, while MinIO and others ignore them on CopyObject.
"""

from __future__ import annotations

from dataclasses import replace

from stow.drivers.s3.backend import Backend
from stow.drivers.s3.commit import settled
from stow.drivers.s3.headers import attribute_headers, md5_of_etag
from stow.drivers.s3.multipart import Part, committed_etag, run_upload
from stow.drivers.s3.objects import head
from stow.drivers.s3.translate import answer_error
from stow.drivers.s3.writing import check_conditional_complete, conditions_for, put_bytes
from stow.storage.model import CopyOptions, ObjectMetadata, WriteOptions
from stow.transport.commit import LostAnswerError, Target, commit
from stow.transport.copying import SourceChangedError, copy_seen
from stow.transport.cutting import even_part_bytes
from stow.transport.faults import AnswerError
from stow.transport.headers import quoted
from stow.transport.several import several
from stow.transport.urls import encode_key
from stow.transport.wire import Request


async def copy(
    backend: Backend, source: tuple[str, str], destination: tuple[str, str], options: CopyOptions
) -> ObjectMetadata:
    """See ``Driver.copy``."""
    return await copy_seen(
        lambda: head(backend, *source),
        lambda seen: _copy_version(backend, source, seen, destination, options),
        source_if_match=options.source_if_match,
    )


async def _copy_version(
    backend: Backend, source: tuple[str, str], seen: ObjectMetadata, destination: tuple[str, str], options: CopyOptions
) -> ObjectMetadata:
    nonce = backend.new_nonce()
    # S3 refuses to copy an object onto itself unless something changes: giving its attributes anew is a change.
    keep = options.attributes is None and source != destination
    attributes = options.attributes if options.attributes is not None else seen.attributes
    conditions = await conditions_for(
        backend, *destination, if_match=options.if_match, if_none_match=options.if_none_match
    )
    overhead_bytes = backend.traits.capabilities.metadata_overhead_bytes
    headers = attribute_headers(attributes, nonce, overhead_bytes=overhead_bytes)
    target = Target(*destination, headers=headers, conditions=conditions, nonce=nonce)
    if conditions and seen.size_bytes == 0:
        return await put_bytes(backend, target, [], WriteOptions(attributes=attributes))
    if conditions or seen.size_bytes > backend.multipart.max_single_copy_bytes:
        check_conditional_complete(backend, target)
        copied = await settled(backend, target, attributes, lambda: _by_parts(backend, target, source, seen))
    else:
        if keep:
            # The copy carries the source's nonce, so a lost answer stays unknown.
            target = replace(target, headers={}, nonce="")
        copied = await settled(backend, target, attributes, lambda: _in_one(backend, target, source, seen, keep=keep))
    return replace(copied, size_bytes=seen.size_bytes, crc32c=copied.crc32c or seen.crc32c)


async def _in_one(
    backend: Backend, target: Target, source: tuple[str, str], seen: ObjectMetadata, *, keep: bool
) -> ObjectMetadata:
    headers = {**target.headers, **_source_headers(source, seen)}
    headers["x-amz-metadata-directive"] = "COPY" if keep else "REPLACE"
    if backend.traits.checksums:
        headers["x-amz-checksum-algorithm"] = "CRC32C"
    try:
        answer = await commit(backend.wire, Request("PUT", target.container, target.key, headers=headers))
    except AnswerError as exc:
        if exc.status == 412:
            raise SourceChangedError from exc
        raise
    etag = committed_etag(answer, "CopyObjectResult")
    return ObjectMetadata(exists=True, etag=etag, md5=md5_of_etag(etag, answer.headers, backend.traits))


async def _by_parts(backend: Backend, target: Target, source: tuple[str, str], seen: ObjectMetadata) -> ObjectMetadata:
    settings = backend.multipart
    part_bytes = even_part_bytes(seen.size_bytes, wanted_bytes=settings.copy_part_bytes, max_parts=settings.max_parts)

    async def copy_part(upload_id: str, number: int, start: int) -> Part:
        end = min(start + part_bytes, seen.size_bytes)
        headers = {**_source_headers(source, seen), "x-amz-copy-source-range": f"bytes={start}-{end - 1}"}
        query = [("partNumber", str(number)), ("uploadId", upload_id)]
        try:
            answer = await backend.wire.exchange(
                Request("PUT", target.container, target.key, query=query, headers=headers)
            )
            return Part(number, committed_etag(answer, "CopyPartResult"), None)
        except AnswerError as exc:
            if exc.status == 412:
                raise SourceChangedError from exc
            raise answer_error(exc) from exc
        except LostAnswerError as exc:
            raise exc.error from exc

    async def send(upload_id: str) -> tuple[list[Part], ObjectMetadata]:
        starts = enumerate(range(0, seen.size_bytes, part_bytes), start=1)
        parts = await several(starts, lambda numbered: copy_part(upload_id, *numbered), at_once=settings.concurrency)
        return parts, ObjectMetadata(exists=True, size_bytes=seen.size_bytes)

    return await run_upload(backend, target, send, checksums=False)


def _source_headers(source: tuple[str, str], seen: ObjectMetadata) -> dict[str, str]:
    bucket, key = source
    return {"x-amz-copy-source": f"/{bucket}/{encode_key(key)}", "x-amz-copy-source-if-match": quoted(seen.etag)}
