"""The life of containers, through the SDK: create, exists, marker, contents, delete.

The marker is a few tags of the bucket under ``stowstore.io-``; all other tags stay. Reading and writing them are two requests of S3, so
two writers of tags at once can undo each other: StowStore writes markers under its own lock. A bucket is created private: no ACL is sent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from stow.drivers.s3.backend import Backend
from stow.drivers.s3.endpoint import DEFAULT_REGION
from stow.drivers.s3.sdk import Sdk
from stow.drivers.s3.translate import answer_error
from stow.errors import AccessDeniedError, ContainerNotFoundError, ContainerTakenError, UnsupportedError
from stow.storage.model import ContainerContents, Marker
from stow.transport.faults import AnswerError

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client  # stubs: not there at run time
    from mypy_boto3_s3.type_defs import TagTypeDef

T = TypeVar("T")
TAG_PREFIX: Final = "stowstore.io-"
_FIELDS: Final = ("installation", "namespace", "name", "uid", "nonce")
SYSTEM_TAGS: Final = "aws:"
"""Tags of AWS itself: they come with the others, cannot be written and stay by themselves."""


class Containers:
    """Container operations of one backend. ``region`` is where new ones go, None where the backend has no regions."""

    def __init__(self, sdk: Sdk, backend: Backend, *, region: str | None) -> None:
        self._sdk = sdk
        self._backend = backend
        self._region = region

    async def create(self, name: str) -> None:
        """Raises:
        ContainerTakenError: it exists. AWS answers 200 to the owner's second create in us-east-1, so it is asked first.
        """
        try:
            if await self.exists(name):
                raise ContainerTakenError("A container of this name exists already. Choose another name, or load it.")
        except AccessDeniedError:
            pass  # somebody else's, or no right to look: the create itself tells

        def create(client: S3Client) -> None:
            if self._region is None or self._region == DEFAULT_REGION:
                # us-east-1 is the one region that must not be named, and without a region there is nothing to name.
                client.create_bucket(Bucket=name)
                return
            # The stubs list AWS's regions; other backends have their own.
            client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": self._region})  # type: ignore[typeddict-item]  # see above

        await self.run(create)

    async def exists(self, name: str) -> bool:
        """Only a 200 or a 404 decides."""
        try:
            await self.run(lambda client: client.head_bucket(Bucket=name))
        except ContainerNotFoundError:
            return False
        return True

    async def read_marker(self, name: str) -> Marker | None:
        """Raises:
        ContainerNotFoundError, UnsupportedError.
        """
        self._check_markers()
        tags = {tag["Key"]: tag["Value"] for tag in await self.tags(name)}
        found = {field: tags.get(TAG_PREFIX + field, "") for field in _FIELDS}
        return Marker(**found) if found["uid"] else None

    async def write_marker(self, name: str, marker: Marker | None) -> None:
        """Raises:
        ContainerNotFoundError, UnsupportedError.
        """
        self._check_markers()
        tags = [tag for tag in await self.tags(name) if not tag["Key"].startswith((TAG_PREFIX, SYSTEM_TAGS))]
        if marker is not None:
            tags += [
                {"Key": TAG_PREFIX + field, "Value": value} for field in _FIELDS if (value := getattr(marker, field))
            ]
        await self.replace_tags(name, tags)

    async def replace_tags(self, name: str, tags: list[TagTypeDef]) -> None:
        """An empty set is a request of its own."""
        if tags:
            await self.run(lambda client: client.put_bucket_tagging(Bucket=name, Tagging={"TagSet": tags}))
        else:
            await self.run(lambda client: client.delete_bucket_tagging(Bucket=name))

    async def contents(self, name: str) -> ContainerContents:
        """One page each of versions and uploads; the current versions are the objects.

        A backend without versions says so (501), and then the objects are listed plainly.
        """
        uploads = await self.run(lambda client: client.list_multipart_uploads(Bucket=name))
        open_uploads = len(uploads.get("Uploads", []))
        truncated = bool(uploads.get("IsTruncated"))
        try:
            page = await self.run(lambda client: client.list_object_versions(Bucket=name, EncodingType="url"))
        except UnsupportedError:
            plain = await self.run(lambda client: client.list_objects_v2(Bucket=name, EncodingType="url"))
            return ContainerContents(
                objects=len(plain.get("Contents", [])),
                uploads=open_uploads,
                truncated=truncated or bool(plain.get("IsTruncated")),
            )
        versions = page.get("Versions", [])
        current = sum(1 for version in versions if version.get("IsLatest"))
        return ContainerContents(
            objects=current,
            versions=len(versions) - current + len(page.get("DeleteMarkers", [])),
            uploads=open_uploads,
            truncated=truncated or bool(page.get("IsTruncated")),
        )

    async def delete(self, name: str) -> None:
        """Raises:
        ContainerNotEmptyError
        """
        try:
            await self.run(lambda client: client.delete_bucket(Bucket=name))
        except ContainerNotFoundError:
            return

    def _check_markers(self) -> None:
        if not self._backend.traits.capabilities.markers:
            raise UnsupportedError("Containers of this backend carry no markers.")

    async def tags(self, name: str) -> list[TagTypeDef]:
        """All tags, the marker's and the system's among them. Raises: ContainerNotFoundError."""
        found = await self.run_or_none(
            name, "NoSuchTagSet", lambda client: client.get_bucket_tagging(Bucket=name)["TagSet"]
        )
        # An empty value may come without its element.
        return [{"Key": tag["Key"], "Value": tag.get("Value", "")} for tag in found or []]

    async def run_or_none(self, name: str, absent: str, function: Callable[[S3Client], T]) -> T | None:
        """None where the code ``absent`` says that the container has no such thing."""
        try:
            return await self._sdk.run(function)
        except AnswerError as exc:
            if exc.code != absent:
                raise answer_error(exc, container_only=True) from exc
            # MinIO says so of a bucket that does not exist, too.
            if not await self.exists(name):
                raise ContainerNotFoundError("The container does not exist.", status=exc.status) from exc
            return None

    async def run(self, function: Callable[[S3Client], T]) -> T:
        """Call the SDK; errors are ours."""
        try:
            return await self._sdk.run(function)
        except AnswerError as exc:
            raise answer_error(exc, container_only=True) from exc
