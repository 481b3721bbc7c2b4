"""The life of containers, through the SDK: create, exists, marker, contents, delete.

The marker is a few entries of the container's metadata under ``stowstoreio_``, set in the request that creates it; all other entries stay.
Azure replaces a container's metadata as a whole and has no condition for it, so two writers at once can undo each other: StowStore writes
markers under its own lock. A new container is private: no public access is asked for. Deleting a container deletes what is in it, so it is
looked at first; between the look and the deletion somebody may still write, which no request of Azure can rule out.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeVar

from azure.storage.blob.aio import ContainerClient

from stow.drivers.azure.answers import contents
from stow.drivers.azure.authorizing import VERSION
from stow.drivers.azure.backend import Backend
from stow.drivers.azure.objects import LIST
from stow.drivers.azure.sdk import QUIET, WireTransport
from stow.drivers.azure.translate import answer_error, sdk_error
from stow.errors import ContainerNotEmptyError, ContainerNotFoundError
from stow.storage.model import ContainerContents, Marker
from stow.storage.names import decode_metadata_value, encode_metadata_value
from stow.transport.faults import NOT_EMPTY, AnswerError
from stow.transport.wire import Request

T = TypeVar("T")
RESERVED: Final = "stowstoreio_"
_FIELDS: Final = ("installation", "namespace", "name", "uid", "nonce")


class Containers:
    """Container operations of one account."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._transport = WireTransport(backend.wire, backend.endpoint)

    async def create(self, name: str, marker: Marker | None) -> None:
        """Raises:
        ContainerTakenError: it exists.
        """
        await self._run(name, lambda client: client.create_container(metadata=_entries(marker)))

    async def exists(self, name: str) -> bool:
        """Only a 200 or a 404 decides."""
        try:
            await self.metadata(name)
        except ContainerNotFoundError:
            return False
        return True

    async def metadata(self, name: str) -> dict[str, str]:
        """All entries, the marker's among them, names as the service has them. Raises: ContainerNotFoundError."""
        found = await self._run(name, lambda client: client.get_container_properties())
        return dict(found.metadata or {})

    async def replace_metadata(self, name: str, entries: Mapping[str, str]) -> None:
        await self._run(name, lambda client: client.set_container_metadata(metadata=dict(entries)))

    async def read_marker(self, name: str) -> Marker | None:
        """Raises:
        ContainerNotFoundError
        """
        entries = {name.lower(): value for name, value in (await self.metadata(name)).items()}
        found = {field: decode_metadata_value(entries.get(RESERVED + field, "")) for field in _FIELDS}
        return Marker(**found) if found["uid"] else None

    async def write_marker(self, name: str, marker: Marker | None) -> None:
        """Raises:
        ContainerNotFoundError
        """
        others = {key: value for key, value in (await self.metadata(name)).items() if not is_marker(key)}
        await self.replace_metadata(name, others | _entries(marker))

    async def contents(self, name: str) -> ContainerContents:
        """One page of objects, their snapshots and old versions. Blocks of open uploads are no reason to keep a container: nobody can
        list them apart from the rest or delete them, and they go by themselves."""
        query = [*LIST, ("include", "snapshots,versions")]
        try:
            return contents((await self._backend.wire.call(Request("GET", name, query=query))).body)
        except AnswerError as exc:
            raise answer_error(exc, container_only=True) from exc

    async def delete(self, name: str) -> None:
        """Raises:
        ContainerNotEmptyError
        """
        try:
            if not (await self.contents(name)).empty:
                raise ContainerNotEmptyError(NOT_EMPTY[1])
            await self._run(name, lambda client: client.delete_container())
        except ContainerNotFoundError:
            return

    async def _run(self, name: str, call: Callable[[ContainerClient], Awaitable[T]]) -> T:
        """Call the SDK; errors are ours."""
        client = ContainerClient(
            self._backend.endpoint.url, name, transport=self._transport, api_version=VERSION, **QUIET
        )
        try:
            return await call(client)
        except Exception as exc:
            error = sdk_error(exc)
            if error is None or error is exc:
                raise
            raise error from exc


def is_marker(name: str) -> bool:
    """Whether this entry of a container's metadata is the marker's; case does not count there."""
    return name.lower().startswith(RESERVED)


def _entries(marker: Marker | None) -> dict[str, str]:
    if marker is None:
        return {}
    return {RESERVED + field: encode_metadata_value(value) for field in _FIELDS if (value := getattr(marker, field))}
