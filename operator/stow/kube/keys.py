"""The keys that all replicas share: of signed local URLs, and of cursors. They live in one Secret of the system namespace.

The operator makes it once, turns the signing key over and drops keys whose last URL has expired; everybody reads it by name and keeps what
was read last. A new signing key stands in the Secret for a while before it signs, so that a URL is never signed with a key that another
replica has not read yet. What cannot be understood is never overwritten.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from stow.api.meta import GROUP
from stow.errors import ControlPlaneError, StowError
from stow.kube.keymaterial import KEY_BYTES, KeyMaterial, decode, encode, pruned
from stow.kube.rest import CONFLICT, NOT_FOUND, Requests, collection_path, object_path
from stow.storage.clock import Clock
from stow.storage.crashpoints import Crash, CrashPoint, no_crash
from stow.storage.local_signing import Keyring, SigningKey

DEFAULT_NAME: Final = "stow-operator-keys"
ROTATE_AFTER: Final = timedelta(days=30)
ACTIVATION_DELAY: Final = timedelta(minutes=2)
"""Four polls of 30 s: until then every replica has read a new key."""
POLL_INTERVAL_S: Final = 30.0
FIRST_POLL_S: Final = 1.0
"""While there are no keys yet: nothing is ready without them."""
_ATTEMPTS: Final = 5
"""Races are between a leader and its predecessor: one of two writes wins."""

_log = logging.getLogger(__name__)


class NewKeys:
    """Makes keys. ``token_bytes`` is the source of randomness."""

    def __init__(self, clock: Clock, token_bytes: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._clock = clock
        self._token_bytes = token_bytes

    def first(self) -> KeyMaterial:
        return KeyMaterial((self._signing_key(self._clock()),), self._token_bytes(KEY_BYTES))

    def turned_over(self, material: KeyMaterial) -> KeyMaterial:
        """With a new key that begins to sign after :data:`ACTIVATION_DELAY`."""
        return replace(material, signing=(self._signing_key(self._clock() + ACTIVATION_DELAY), *material.signing))

    def _signing_key(self, created_at: datetime) -> SigningKey:
        return SigningKey(self._token_bytes(8).hex(), self._token_bytes(KEY_BYTES), created_at.replace(microsecond=0))


@dataclass(frozen=True, slots=True)
class StoredKeys:
    """What is in the Secret, at one version of it."""

    material: KeyMaterial
    resource_version: str


class KeySecret:
    """The Secret on the API server."""

    def __init__(self, request: Requests, *, namespace: str, name: str = DEFAULT_NAME) -> None:
        self._request = request
        self._namespace = namespace
        self._name = name

    async def read(self) -> StoredKeys | None:
        """None when it is definitely absent.

        Raises:
            ControlPlaneError, CredentialsInvalidError.
        """
        try:
            raw = await self._request("GET", object_path("Secret", self._namespace, self._name))
        except ControlPlaneError as error:
            if error.status == NOT_FOUND:
                return None
            raise
        return StoredKeys(decode(raw.get("data")), str((raw.get("metadata") or {}).get("resourceVersion", "")))

    async def create(self, material: KeyMaterial) -> bool:
        """False when somebody else was first."""
        return await self._write("POST", collection_path("Secret", self._namespace), material, version=None)

    async def replace(self, material: KeyMaterial, *, resource_version: str) -> bool:
        """False when it has changed since that version, or is gone."""
        path = object_path("Secret", self._namespace, self._name)
        return await self._write("PUT", path, material, version=resource_version)

    async def _write(self, method: str, path: str, material: KeyMaterial, *, version: str | None) -> bool:
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": f"{GROUP}/keys",
            "metadata": {
                "name": self._name,
                "namespace": self._namespace,
                "labels": {"app.kubernetes.io/managed-by": "stow-operator"},
                **({"resourceVersion": version} if version is not None else {}),
            },
            "data": encode(material),
        }
        try:
            await self._request(method, path, body=body)
        except ControlPlaneError as error:
            if error.status == CONFLICT or (version is not None and error.status == NOT_FOUND):
                return False
            raise
        return True


class Keys:
    """The keys as they were read last; what everybody signs, verifies and seals with. Keeps them when a read fails."""

    def __init__(
        self,
        secret: KeySecret,
        *,
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._secret = secret
        self._clock = clock
        self._sleep = sleep
        self._uniform = uniform
        self._material: KeyMaterial | None = None
        self._failing = False

    @property
    def ready(self) -> bool:
        return self._material is not None

    @property
    def material(self) -> KeyMaterial | None:
        return self._material

    def __call__(self) -> Keyring | None:
        """The keys of local signatures as they are to be used now; None until they were read."""
        return None if self._material is None else self._material.keyring(self._clock())

    def keyring(self) -> Keyring:
        """Raises:
        ControlPlaneError: not read yet.
        """
        return self._known().keyring(self._clock())

    def cursor_key(self) -> bytes:
        """Raises:
        ControlPlaneError: not read yet.
        """
        return self._known().cursor

    def _known(self) -> KeyMaterial:
        if self._material is None:
            raise ControlPlaneError(
                "The Secret with the signing keys was not read yet; the operator makes it, wait for it."
            )
        return self._material

    def take(self, material: KeyMaterial) -> None:
        self._material = material

    async def refresh(self) -> bool:
        """Read the Secret; False where there is nothing new to be had. Never raises a StowError."""
        try:
            stored = await self._secret.read()
        except StowError as error:
            if not self._failing:
                self._failing = True
                _log.warning("The signing keys cannot be read; those known stay in use: %s", error.message)
            return False
        self._failing = False
        if stored is not None:
            self._material = stored.material
        return stored is not None

    async def run(self) -> None:
        """Read until cancelled: quickly until there are keys, then every half a minute."""
        while True:
            await self.refresh()
            pause_s = POLL_INTERVAL_S if self.ready else FIRST_POLL_S
            await self._sleep(pause_s * self._uniform(0.9, 1.1))


class KeyKeeper:
    """The operator's part: makes the Secret, turns the signing key over, drops what nobody needs. Only the leader runs it."""

    def __init__(
        self,
        secret: KeySecret,
        keys: Keys,
        new: NewKeys,
        *,
        clock: Clock,
        rotate_after: timedelta = ROTATE_AFTER,
        crash: Crash = no_crash,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._secret = secret
        self._keys = keys
        self._new = new
        self._clock = clock
        self._rotate_after = rotate_after
        self._crash = crash
        self._sleep = sleep

    async def maintain(self) -> None:
        """Leave a Secret whose newest key is young enough and whose oldest is still needed; writes nothing when it is so already.

        Raises:
            ControlPlaneError, CredentialsInvalidError.
        """
        await self._change(self._due)

    async def rotate(self) -> None:
        """Turn the signing key over now, for instance because it may have become known."""
        await self._change(self._new.turned_over)

    def _due(self, material: KeyMaterial) -> KeyMaterial:
        now = self._clock()
        if material.signing[0].created_at + self._rotate_after <= now:
            material = self._new.turned_over(material)
        return pruned(material, now)

    async def _change(self, change: Callable[[KeyMaterial], KeyMaterial]) -> None:
        for _ in range(_ATTEMPTS):
            stored = await self._secret.read()
            if stored is None:
                # What is in memory is still in use everywhere: a Secret that somebody deleted comes back as it was.
                material = self._keys.material or self._new.first()
                if await self._secret.create(material):
                    self._crash(CrashPoint.KEYS_GENERATED)
                    self._keys.take(material)
                    return
                continue
            wanted = change(stored.material)
            if wanted == stored.material or await self._secret.replace(
                wanted, resource_version=stored.resource_version
            ):
                self._keys.take(wanted)
                return
        raise ControlPlaneError("The Secret with the signing keys changes faster than it can be written; try again.")

    async def run(self) -> None:
        """Maintain until cancelled. A failure is logged once and tried again."""
        failing = False
        while True:
            try:
                await self.maintain()
                failing = False
            except StowError as error:
                if not failing:
                    _log.error("The signing keys cannot be kept: %s", error.message)
                failing = True
            await self._sleep(POLL_INTERVAL_S if self._keys.ready else FIRST_POLL_S)
