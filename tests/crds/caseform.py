"""What one case of the tables of specs is."""

from typing import Any, NamedTuple

SL = "StowLocation"
CSL = "ClusterStowLocation"
SC = "StowContainer"


class Case(NamedTuple):
    id: str
    kind: str
    spec: Any
    message: str = ""
    name: str = "some-name"
    only_schema: bool = False
    """Refused for a reason that the typed spec does not have: an unknown field, a repetition, the object's name."""
