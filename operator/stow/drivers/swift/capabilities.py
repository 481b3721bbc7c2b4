"""What a Swift can do, as data: what each can, narrowed by what this one tells about itself in ``/info``.

Seen with a running Swift 2.38: ``If-None-Match: *`` on a PUT is no atomic create (overlapping ones both get 201), ``If-Match`` is ignored
on PUT and DELETE. So neither is declared. Before ``/info`` was read, and where a Swift hides it, the defaults of its documents hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from stow.storage.driver import Capabilities
from stow.storage.model import MIB, Method
from stow.storage.names import MAX_METADATA_BYTES, KeyRules

GIB: Final = 1024 * MIB
DIALECT: Final = "Swift"
MAX_FILE_BYTES: Final = 5 * GIB
"""Swift's default for one PUT. It is also the largest object: a larger one would be a manifest and segments in a second container, which
would have to be owned, emptied and deleted with the first."""
_MAX_KEY_BYTES: Final = 1024
_LISTING_LIMIT: Final = 10_000
_SIGNED: Final = frozenset(Method)
_YEAR_S: Final = 365 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Traits:
    """Capabilities, and what only the driver has to know."""

    capabilities: Capabilities
    listing_limit: int = _LISTING_LIMIT
    """The most that one page of a listing has; asking for more is refused."""


def default_traits(*, signs: bool) -> Traits:
    """``signs``: there is a key for TempURLs."""
    return Traits(
        Capabilities(
            dialect=DIALECT,
            create_once=False,
            write_if_match=False,
            delete_if_match=False,
            content_md5=True,
            # A small body goes up with its MD5, a streamed one is compared with what the answer says was stored.
            integrity="md5",
            server_side_copy=True,
            markers=True,
            # A PUT of an existing container would overwrite its metadata: the marker goes on afterwards.
            marker_with_create=False,
            tags=True,
            versioning=False,
            expiry_rules=False,
            sign_methods=_SIGNED if signs else frozenset(),
            # A TempURL binds method, path and end. Its GET and PUT allow HEAD, too.
            sign_binds=frozenset(),
            max_single_write_bytes=MAX_FILE_BYTES,
            max_object_bytes=MAX_FILE_BYTES,
            max_metadata_bytes=MAX_METADATA_BYTES,
            max_signed_expiry_s=_YEAR_S,  # Swift sets no end
            # TempURLs take no path that ends in slashes alone behind the container (seen: 401).
            keys=KeyRules(max_bytes=_MAX_KEY_BYTES, slashes_alone=False),
        )
    )


def told(traits: Traits, info: Mapping[str, Any]) -> Traits:
    """The same as ``/info`` has it. What is missing there, or makes no sense, stays as it is."""
    swift = _section(info, "swift")
    file_bytes = _positive(swift.get("max_file_size"), MAX_FILE_BYTES)
    key_bytes = _positive(swift.get("max_object_name_length"), _MAX_KEY_BYTES)
    found = traits.capabilities
    return replace(
        traits,
        listing_limit=_positive(swift.get("container_listing_limit"), _LISTING_LIMIT),
        capabilities=replace(
            found,
            max_single_write_bytes=file_bytes,
            max_object_bytes=file_bytes,
            versioning="object_versioning" in info,
            sign_methods=found.sign_methods & _signable(info),
            keys=replace(found.keys, max_bytes=min(key_bytes, _MAX_KEY_BYTES)),
        ),
    )


def _signable(info: Mapping[str, Any]) -> frozenset[Method]:
    """Methods of TempURLs, where SHA-256 is among their digests."""
    temp_url = _section(info, "tempurl")
    digests, methods = temp_url.get("allowed_digests", ["sha256"]), temp_url.get("methods")
    if not isinstance(digests, list) or "sha256" not in digests or not isinstance(methods, list):
        return frozenset()
    return frozenset(method for method in Method if method in methods)


def _section(info: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = info.get(name)
    return section if isinstance(section, dict) else {}


def _positive(value: object, default: int) -> int:
    return value if isinstance(value, int) and value > 0 else default
