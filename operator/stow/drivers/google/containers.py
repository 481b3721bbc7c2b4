"""The life of containers, through the SDK: create, exists, marker, delete.

A new bucket is private for good: access is by IAM alone, and public access is prevented. The marker is a few labels of the bucket, set
with the create; they are changed only if nobody changed the bucket since they were read, and all other labels stay.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from google.cloud.storage import Bucket, Client

from stow.drivers.google import labels
from stow.drivers.google.answers import COUNTED, contents
from stow.drivers.google.backend import Backend
from stow.drivers.google.endpoint import Located
from stow.drivers.google.sdk import Sdk
from stow.drivers.google.translate import answer_error
from stow.errors import (
    AccessDeniedError,
    BackendFailedError,
    ContainerNotEmptyError,
    ContainerNotFoundError,
    InvalidSpecError,
    PreconditionFailedError,
    StowError,
)
from stow.storage.model import ContainerContents, Marker
from stow.transport.faults import NOT_EMPTY, TAKEN, AnswerError, Fault

T = TypeVar("T")
_ATTEMPTS: Final = 5
"""How often a change is made anew because somebody else changed the bucket meanwhile."""
_PAGE: Final = "1000"


class Containers:
    """Container operations of one backend. ``project`` gives where new ones go."""

    def __init__(self, sdk: Sdk, backend: Backend, *, project: Callable[[], Awaitable[str | None]]) -> None:
        self._sdk = sdk
        self._backend = backend
        self._project = project

    async def create(self, name: str, marker: Marker | None) -> None:
        """Raises:
        ContainerTakenError: it exists, no matter whose it is.
        InvalidSpecError: it is not known in which project.
        """
        project = await self._project()
        if not project:
            raise InvalidSpecError(
                "A new bucket needs a project: name it in the location, or give a key that names it."
            )

        def create(client: Client) -> None:
            bucket = client.bucket(name)
            bucket.iam_configuration.uniform_bucket_level_access_enabled = True
            bucket.iam_configuration.public_access_prevention = "enforced"
            if marker is not None:
                bucket.labels = labels.encode(marker)
            client.create_bucket(bucket, project=project, retry=None)

        await self.run(create, conflict=TAKEN)

    async def exists(self, name: str) -> bool:
        """Only a 200 or a 404 decides. Who may use a bucket's objects need not be allowed to look at the bucket itself
        (``storage.buckets.get``): a listing tells too, and is asked where that right is missing."""
        try:
            await self.run(lambda client: client.bucket(name).exists(retry=None))
        except ContainerNotFoundError:
            return False
        except AccessDeniedError as denied:
            return await self._lists(name, denied)
        return True

    async def _lists(self, name: str, denied: StowError) -> bool:
        query = [("maxResults", "1"), ("fields", "kind")]
        try:
            await self._backend.wire.call(Located("GET", url=self._backend.endpoint.objects(name), query=query))
        except AnswerError as exc:
            if isinstance(answer_error(exc, container_only=True), ContainerNotFoundError):
                return False
            raise denied from exc
        return True

    async def read_marker(self, name: str) -> Marker | None:
        """Raises:
        ContainerNotFoundError.
        """
        return labels.decode((await self.run(lambda client: loaded(client, name))).labels)

    async def write_marker(self, name: str, marker: Marker | None) -> None:
        """Raises:
        ContainerNotFoundError.
        """

        def mark(bucket: Bucket) -> None:
            bucket.labels = labels.without_marker(bucket.labels) | (labels.encode(marker) if marker is not None else {})

        await self.change(name, mark)

    async def change(self, name: str, set_up: Callable[[Bucket], None]) -> None:
        """Read the bucket, let ``set_up`` change it, write back what differs: in one request, or not at all."""

        def change(client: Client) -> None:
            bucket = loaded(client, name)
            set_up(bucket)
            bucket.patch(if_metageneration_match=bucket.metageneration, retry=None)

        for _ in range(_ATTEMPTS):
            try:
                return await self.run(change)
            except PreconditionFailedError:
                continue
        raise BackendFailedError("The bucket is being changed by somebody else again and again. Try again later.")

    async def contents(self, name: str) -> ContainerContents:
        """One page of all versions. Uploads that are open do not show and keep no bucket from being deleted."""
        query = [("versions", "true"), ("maxResults", _PAGE), ("fields", COUNTED)]
        try:
            answer = await self._backend.wire.call(
                Located("GET", url=self._backend.endpoint.objects(name), query=query)
            )
        except AnswerError as exc:
            raise answer_error(exc, container_only=True) from exc
        return contents(answer.body)

    async def delete(self, name: str) -> None:
        """Raises:
        ContainerNotEmptyError
        """

        def delete(client: Client) -> None:
            client.bucket(name).delete(retry=None)

        try:
            await self.run(delete, conflict=NOT_EMPTY)
        except ContainerNotFoundError:
            return
        except PreconditionFailedError as exc:
            # No condition was sent: it is fake-gcs-server's way to say so.
            raise ContainerNotEmptyError(NOT_EMPTY[1], status=exc.status) from exc

    async def run(self, function: Callable[[Client], T], *, conflict: Fault | None = None) -> T:
        """Call the SDK; errors are ours."""
        try:
            return await self._sdk.run(function)
        except AnswerError as exc:
            raise answer_error(exc, container_only=True, conflict=conflict) from exc


def loaded(client: Client, name: str) -> Any:
    """The bucket as it is now."""
    bucket = client.bucket(name)
    bucket.reload(projection="noAcl", retry=None)
    return bucket
