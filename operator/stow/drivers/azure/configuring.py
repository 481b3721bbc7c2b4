"""The user's tags of a container: entries of its metadata, beside the marker's.

Azure takes C# identifiers as names, and their case does not count. A tag whose name is a plain lower-case one stands under it, so that
other tools read it; any other name is written out as ``stowtag_`` and its bytes, those that are no lower-case letter or digit as ``_`` and
two digits of base 16. Each comes back as it was.
"""

from __future__ import annotations

import re
from typing import Final

from stow.drivers.azure.containers import Containers, is_marker
from stow.errors import InvalidMetadataError
from stow.storage.model import ContainerSettings
from stow.storage.names import decode_metadata_value, encode_metadata_value

_PLAIN: Final = re.compile(r"[a-z][a-z0-9_]*")
_ESCAPED: Final = "stowtag_"
_ESCAPE: Final = re.compile(r"_([0-9a-f]{2})")
_WHOLE: Final = re.compile(r"(?:[a-z0-9]|_[0-9a-f]{2})+")


async def read(containers: Containers, name: str) -> ContainerSettings:
    """See ``Driver.container_settings``."""
    entries = await containers.metadata(name)
    return ContainerSettings(
        tags={decode_tag(key): decode_metadata_value(value) for key, value in entries.items() if not is_marker(key)}
    )


async def write(containers: Containers, name: str, wanted: ContainerSettings) -> None:
    """See ``Driver.configure_container``.

    Raises:
        InvalidMetadataError: a tag without a name.
    """
    if wanted.tags is None:
        return
    kept = {key: value for key, value in (await containers.metadata(name)).items() if is_marker(key)}
    given = {encode_tag(key): encode_metadata_value(value) for key, value in wanted.tags.items()}
    await containers.replace_metadata(name, kept | given)


def encode_tag(name: str) -> str:
    """The entry's name."""
    if not name:
        raise InvalidMetadataError("A tag needs a name.")
    if _PLAIN.fullmatch(name) and not name.startswith(_ESCAPED) and not is_marker(name):
        return name
    plain = b"abcdefghijklmnopqrstuvwxyz0123456789"
    return _ESCAPED + "".join(chr(byte) if byte in plain else f"_{byte:02x}" for byte in name.encode())


def decode_tag(name: str) -> str:
    """The inverse; another tool's name stays as it is."""
    rest = name.lower().removeprefix(_ESCAPED)
    if rest == name.lower() or not _WHOLE.fullmatch(rest):
        return name
    raw = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), rest).encode("latin-1")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return name
