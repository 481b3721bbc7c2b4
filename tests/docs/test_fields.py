"""The field tables of locations and containers name every field of the schemas, with its default, and no other."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml

from stow.api.credentials import azure, google, s3, swift
from stow.api.meta import CLUSTER_STOW_LOCATION, STOW_CONTAINER, STOW_LOCATION

CRDS = Path(__file__).parents[2] / "crds"
SECRET_KEYS: dict[str, dict[str, str]] = {
    "s3": {**dict.fromkeys(s3.REQUIRED_KEYS, "required"), **dict.fromkeys(s3.OPTIONAL_KEYS, "optional")},
    "google": dict.fromkeys(google.GOOGLE_KEYS, "choice"),
    "azure": {**dict.fromkeys(chain(*azure.SETS), "choice"), azure.ACCOUNT: "optional"},
    "swift": {**dict.fromkeys(chain(*swift.V3_SETS, *swift.V1_SETS), "choice"), swift.TEMP_URL_KEY: "optional"},
    "oracle": dict.fromkeys(s3.REQUIRED_KEYS, "required"),
}
OPAQUE = {"allowedNamespaces.selector"}
"""Schemas of Kubernetes itself, which its own documentation explains."""


def schema(plural: str, part: str) -> dict[str, Any]:
    definition = yaml.safe_load((CRDS / f"{plural}.yaml").read_text(encoding="utf-8"))
    found: dict[str, Any] = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"][part]
    return found


def fields(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Every field below, with its default; fields of a list's entries as `list[].field`."""
    for name, child in node.get("properties", {}).items():
        here = f"{path}.{name}" if path else name
        yield here, child.get("default")
        if here not in OPAQUE:
            yield from fields(child, here)
            yield from fields(child.get("items", {}), f"{here}[]")


def default_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(value) if isinstance(value, list) else str(value)


def test_every_field_of_a_location_is_documented_with_its_defaults(manual: Any) -> None:
    defaults: dict[str, list[Any]] = {}
    for kind in (STOW_LOCATION, CLUSTER_STOW_LOCATION):
        for name, value in fields(schema(kind.plural, "spec")):
            defaults.setdefault(name, [])
            if value is not None and value not in defaults[name]:
                defaults[name].append(value)
    rows = {row["field"]: row["default"] for row in manual.table("locations.md", "Fields of spec")}

    assert set(rows) == set(defaults)
    assert {name: bool(text) for name, text in rows.items()} == {name: bool(found) for name, found in defaults.items()}
    for name, values in defaults.items():
        assert all(default_text(value) in rows[name] for value in values), name


def test_fields_that_only_cluster_locations_have_are_marked(manual: Any) -> None:
    both = {name for name, _ in fields(schema(STOW_LOCATION.plural, "spec"))}
    cluster = {name for name, _ in fields(schema(CLUSTER_STOW_LOCATION.plural, "spec"))} - both
    marked = {
        row["field"]
        for row in manual.table("locations.md", "Fields of spec")
        if row["meaning"].startswith("cluster only")
    }

    assert marked == {name for name in cluster if "." not in name}


def test_every_field_of_a_container_is_documented_with_its_default(manual: Any) -> None:
    rows = {row["field"]: row["default"] for row in manual.table("containers.md", "Fields of spec")}

    assert rows == {
        name: "" if value is None else default_text(value)
        for name, value in fields(schema(STOW_CONTAINER.plural, "spec"))
    }


@pytest.mark.parametrize(
    ("page", "plural"), [("locations.md", CLUSTER_STOW_LOCATION.plural), ("containers.md", STOW_CONTAINER.plural)]
)
def test_every_field_of_status_is_documented(page: str, plural: str, manual: Any) -> None:
    rows = {row["field"] for row in manual.table(page, "Fields of status")}

    assert rows == set(schema(plural, "status")["properties"])


def test_every_key_of_a_credentials_secret_is_documented(manual: Any) -> None:
    rows = {(row["kind"], row["key"]): row[""] for row in manual.table("locations.md", "Credentials")}

    assert rows == {(kind, key): what for kind, keys in SECRET_KEYS.items() for key, what in keys.items()}
