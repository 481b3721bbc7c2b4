"""All rows. A kind adds a module of its own; SDKs and drivers are imported where a row is opened."""

from __future__ import annotations

from typing import Final

from connections import azure_rows, google_rows, s3_rows, swift_rows
from connections.rows import Door, Opened, Opener, Row

__all__ = ["ROWS", "Door", "Opened", "Opener", "Row"]
ROWS: Final = (*s3_rows.ROWS, *azure_rows.ROWS, *google_rows.ROWS, *swift_rows.ROWS)
