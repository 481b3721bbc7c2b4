"""What a location's spec refers to in the cluster: Secrets and ConfigMaps, where they are, and what they hold now.

A reference has no namespace of its own: a StowLocation's is its own namespace, a ClusterStowLocation's that of this process. Messages of a
cluster location name nothing of that namespace, because people may read them who must not learn what is in it.
"""

from __future__ import annotations

from dataclasses import dataclass

from stow.api.location import LocationSpec
from stow.api.principal import Credentials, SecretCredentials
from stow.api.trust import CABundleRef, certificates
from stow.errors import CABundleInvalidError, CABundleMissingError
from stow.reconcile.objects import ObjectRef, Snapshot
from stow.reconcile.ports import SecretData, Secrets

SECRET = "Secret"  # noqa: S105 - the name of a kind
CONFIG_MAP = "ConfigMap"


@dataclass(frozen=True, slots=True)
class SourceRefs:
    """What one location refers to; None where it needs none."""

    credentials: ObjectRef | None = None
    signing: ObjectRef | None = None
    ca_bundle: ObjectRef | None = None

    def all(self) -> frozenset[ObjectRef]:
        """Each of them once."""
        return frozenset(ref for ref in (self.credentials, self.signing, self.ca_bundle) if ref is not None)


@dataclass(frozen=True, slots=True)
class Sources:
    """What they hold: None where the location refers to none, and where what it refers to is absent."""

    credentials: SecretData | None = None
    signing: SecretData | None = None
    ca_bundle: SecretData | None = None

    @property
    def versions(self) -> tuple[tuple[str, str], ...]:
        """UID and resource version of each, to compare."""
        found = (self.credentials, self.signing, self.ca_bundle)
        return tuple((each.uid, each.resource_version) if each is not None else ("", "") for each in found)


def source_refs(location: Snapshot, spec: LocationSpec, *, system_namespace: str) -> SourceRefs:
    """Where the location's Secrets and ConfigMaps are."""
    namespace = location.ref.namespace or system_namespace

    def secret(credentials: Credentials | None) -> ObjectRef | None:
        if not isinstance(credentials, SecretCredentials):
            return None
        return ObjectRef(SECRET, namespace, credentials.secret_name)

    bundle = spec.ca_bundle
    return SourceRefs(
        credentials=secret(spec.credentials),
        signing=secret(spec.signed_url.credentials),
        ca_bundle=ObjectRef(bundle.kind, namespace, bundle.name) if bundle is not None else None,
    )


async def read_sources(refs: SourceRefs, secrets: Secrets) -> Sources:
    """What they hold now.

    Raises:
        ControlPlaneError: one of them cannot be read, which says nothing about whether it is there.
    """

    async def read(ref: ObjectRef | None) -> SecretData | None:
        if ref is None:
            return None
        find = secrets.get if ref.kind == SECRET else secrets.config_map
        return await find(ref.namespace or "", ref.name)

    return Sources(await read(refs.credentials), await read(refs.signing), await read(refs.ca_bundle))


def absence(location: ObjectRef, *, kind: str, name: str, field: str) -> str:
    """The sentence for a Secret or ConfigMap that ``field`` of the spec names and that does not exist."""
    if location.namespace is None:
        return f"The {kind} of {field} does not exist in the operator's namespace; create it."
    return f"The {kind} {name}, which {field} names, does not exist in the location's namespace; create it."


def ca_certificates(location: ObjectRef, ref: CABundleRef | None, source: SecretData | None) -> bytes | None:
    """The certificates that the location trusts beside the system's, as PEM; None where its spec names none.

    Raises:
        CABundleMissingError, CABundleInvalidError.
    """
    if ref is None:
        return None
    field = f"spec.caBundle.{'secretRef' if ref.kind == SECRET else 'configMapRef'}"
    if source is None:
        raise CABundleMissingError(absence(location, kind=ref.kind, name=ref.name, field=field))
    if ref.key not in source.data:
        raise CABundleMissingError(f"The {ref.kind} of {field} lacks the key {ref.key}; add it, or name another key.")
    try:
        return certificates(source.data[ref.key])
    except ValueError as exc:
        raise CABundleInvalidError(f"The value of {ref.key} in the {ref.kind} of {field} {exc}.") from exc
