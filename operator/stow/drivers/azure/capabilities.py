"""What Azure Blob Storage can do, as data. True is what was seen with a running server or what Microsoft documents; all else is False.

Key rules are the service's: it cuts dots off the ends of segments, takes a backslash for a slash, resolves dot segments, and cannot list
control characters ("Naming and referencing containers, blobs, and metadata" in its REST reference). An account with a hierarchical
namespace has folders: it drops empty segments and trailing slashes, takes fewer segments, and keeps neither a key beside its folder nor
versions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from stow.drivers.azure.config import Anonymous, Blocks, Credentials, SasToken
from stow.storage.driver import Capabilities
from stow.storage.model import MIB, Method, SignBinding
from stow.storage.names import MAX_METADATA_BYTES, KeyRules

_DAY_S: Final = 24 * 3600


class Dialect(StrEnum):
    """How an account holds names. The probe finds it; until then Hierarchical is taken, whose rules are the narrower."""

    FLAT = "Flat"
    HIERARCHICAL = "Hierarchical"


KEYS: Final[Mapping[Dialect, KeyRules]] = MappingProxyType(
    {
        Dialect.FLAT: KeyRules(
            max_bytes=1024,  # the service counts 1,024 characters; no character has less than a byte
            dot_segments=False,
            control_characters=False,
            backslash=False,
            trailing_dots=False,
            odd_code_points=False,
            max_segments=254,
        ),
        Dialect.HIERARCHICAL: KeyRules(
            max_bytes=1024,
            dot_segments=False,
            empty_segments=False,
            leading_slash=False,
            control_characters=False,
            backslash=False,
            trailing_slash=False,
            trailing_dots=False,
            odd_code_points=False,
            max_segments=60,  # 63 with the account, the file system and the root
        ),
    }
)


def capabilities(credentials: Credentials, blocks: Blocks, dialect: Dialect) -> Capabilities:
    """What a driver with these credentials declares: a token that somebody else signed cannot sign, and nobody cannot either."""
    signs = not isinstance(credentials, SasToken | Anonymous)
    return replace(
        _AZURE,
        dialect=dialect,
        sign_methods=_AZURE.sign_methods if signs else frozenset(),
        sign_binds=_AZURE.sign_binds if signs else frozenset(),
        max_single_write_bytes=blocks.single_bytes,
        keys=KEYS[dialect],
    )


_AZURE: Final = Capabilities(
    dialect=Dialect.HIERARCHICAL,
    create_once=True,
    write_if_match=True,
    delete_if_match=True,
    content_md5=True,
    integrity="md5",
    server_side_copy=True,
    markers=True,
    marker_with_create=True,
    tags=True,
    versioning=False,  # of the account, and set by the management API
    expiry_rules=False,  # likewise
    # A signature for reading serves GET and HEAD alike: a HEAD alone cannot be signed.
    sign_methods=frozenset({Method.GET, Method.PUT, Method.DELETE}),
    sign_binds=frozenset({SignBinding.RESPONSE_OVERRIDES}),
    max_single_write_bytes=5000 * MIB,
    max_object_bytes=50_000 * 4000 * MIB,
    max_metadata_bytes=MAX_METADATA_BYTES,
    max_signed_expiry_s=7 * _DAY_S,  # what a key of user delegation lives; a shared key has no such end
    keys=KEYS[Dialect.HIERARCHICAL],
)
