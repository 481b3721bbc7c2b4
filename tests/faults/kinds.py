"""The kinds of backend that the tables run over.

To add one: a module ``on_<kind>.py`` with a function that gives its :class:`Server` (15 lines) and a :class:`Kind` with the predicates of
its requests, and its name here. An entry of ``differs`` overrides the table for one fault and one operation, and says why. SDKs and
drivers are imported where a kind is opened.
"""

from __future__ import annotations

from typing import Final

from faults.kind import Kind
from faults.on_azure import AZURE
from faults.on_google import GOOGLE
from faults.on_minio import MINIO
from faults.on_swift import SWIFT

KINDS: Final[dict[str, Kind]] = {kind.name: kind for kind in (MINIO, AZURE, GOOGLE, SWIFT)}
