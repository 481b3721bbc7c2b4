"""URLs that people write into a spec: a scheme, a host, perhaps a port and a path, and nothing that two readers take differently."""

import re
from typing import Final
from urllib.parse import urlsplit

from stow.api.fields import Fields

_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]", re.ASCII)
_URL_CHARACTERS: Final = re.compile(r"[!-~]+", re.ASCII)
_MAX_URL_LENGTH: Final = 512


def url_field(fields: Fields, key: str, *, with_path: bool) -> str | None:
    """An http or https URL without user info, query and fragment, and without a trailing slash."""
    text = fields.optional_text(key, max_length=_MAX_URL_LENGTH, pattern=_URL_CHARACTERS)
    if text is None:
        return None
    problem = "must be a URL such as https://s3.example.com:9000, without user, query and fragment"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as exc:
        raise fields.error(key, problem) from exc
    host = parts.netloc.removesuffix(f":{port}") if port is not None else parts.netloc
    plain = parts.scheme in ("http", "https") and text.startswith(f"{parts.scheme}://") and _HOST.fullmatch(host)
    if not plain or port == 0 or "?" in text or "#" in text or "\\" in text:
        raise fields.error(key, problem)
    if not with_path and parts.path not in ("", "/"):
        raise fields.error(key, "must have no path")
    if any(segment in (".", "..") for segment in parts.path.split("/")):
        raise fields.error(key, "must have no . or .. in its path")
    return text.rstrip("/")
