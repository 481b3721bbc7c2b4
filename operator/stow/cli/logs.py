"""Logging of the servers: JSON lines for collectors, plain lines for a terminal. No line holds a token, a secret or a signed URL:
whoever logs sees to that, and the libraries that would not are kept at warnings."""

from __future__ import annotations

import logging
import sys
from typing import Final

from pythonjsonlogger.json import JsonFormatter

_NOISY: Final = ("aiohttp", "asyncio", "boto3", "botocore", "kopf", "kubernetes", "s3transfer", "urllib3")
"""Libraries whose debug output may hold headers, bodies or whole objects."""


def set_up_logging(*, log_format: str, level: str) -> None:
    """Everything goes to standard error, once."""
    handler = logging.StreamHandler(sys.stderr)
    if log_format == "json":
        handler.setFormatter(
            JsonFormatter(
                "%(asctime)s %(levelname)s %(name)s %(message)s",
                rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
            )
        )
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("stow.audit").setLevel(logging.INFO)  # who did what is not a matter of verbosity
    for name in _NOISY:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))
