"""`docs/object-api.md` says what the gateway's tables say: routes, rights, codes, settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from stow import errors
from stow.errors import StowError
from stow.gateway.access import CREATE, MAY_SIGN, NEEDED, RESOURCES, SIGNED_NEEDS, UPDATE, Right, Verb
from stow.gateway.openapi import DOCUMENT
from stow.gateway.problems import STATUS, Code
from stow.gateway.routes import LIST_PARAMETERS, METHODS, SYSTEM_PATHS, parse_route
from stow.gateway.settings import GatewaySettings
from stow.storage.model import Method

PAGE = "object-api.md"
VALUES = {
    "namespace": "team",
    "name": "reports",
    "location": "disk",
    "container": "reports",
    "key": "a/b",
    "route": "r/s",
}


def errors_below(kind: type[StowError]) -> Iterator[type[StowError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from errors_below(each)


def status_of(kind: type[StowError]) -> int:
    return next(STATUS[each] for each in kind.__mro__ if each in STATUS)


def rights_text(rights: tuple[Right, ...]) -> str:
    return " and ".join(f"{right.verb} {right.subresource}" for right in rights)


def test_every_code_is_documented_with_its_status_and_nothing_else_is(manual: Any) -> None:
    documented = sorted((row["code"], int(row["status"])) for row in manual.table(PAGE, "Errors"))
    of_errors = {(kind.code, status_of(kind)) for kind in errors_below(StowError) if kind.__module__ == errors.__name__}

    assert documented == sorted(of_errors | {(code.text, code.status) for code in Code})
    assert all(row["when"] for row in manual.table(PAGE, "Errors"))


def test_every_documented_route_is_served_with_exactly_the_methods_that_it_names(manual: Any) -> None:
    bases = [row["base"].format(**VALUES) for row in manual.table(PAGE, "Routes", first_column="base")]
    actions = set()
    for row in manual.table(PAGE, "Routes", first_column="methods"):
        for base in bases if "{base}" in row["path"] else [""]:
            path = row["path"].format(**VALUES, base=base)
            methods = tuple(row["methods"].split())
            parsed = {parse_route(method, path).action for method in methods}
            assert len(parsed) == 1
            (action,) = parsed
            assert sorted(METHODS[action]) == sorted(methods), path
            actions.add(action)

    assert actions == set(METHODS)


def test_every_path_of_the_description_is_documented(manual: Any) -> None:
    bases = [row["base"] for row in manual.table(PAGE, "Routes", first_column="base")]
    rows = [row["path"].partition("?")[0] for row in manual.table(PAGE, "Routes", first_column="methods")]
    documented = {path.replace("{base}", base) for path in rows for base in (bases if "{base}" in path else [""])}

    assert documented == set(DOCUMENT["paths"])
    assert set(SYSTEM_PATHS) <= documented


def test_every_parameter_of_a_listing_is_documented(manual: Any) -> None:
    assert {row["parameter"] for row in manual.table(PAGE, "Listing")} == set(LIST_PARAMETERS)


def test_every_member_of_a_signing_request_is_documented(manual: Any) -> None:
    members = DOCUMENT["components"]["schemas"]["Sign"]["properties"]

    assert {row["member"] for row in manual.table(PAGE, "Signed URLs")} == set(members)


def test_every_operation_is_documented_with_the_rights_that_it_needs(manual: Any) -> None:
    heading = "Who, and may they"
    rows = {
        row["operation"]: row["rights on <resource>/<subresource>"]
        for row in manual.table(PAGE, heading, first_column="operation")
    }

    assert {row["resource"].partition(",")[0] for row in manual.table(PAGE, heading)} == set(RESOURCES.values())
    assert set(rows) == {*Verb, *(f"sign a {method}" for method in Method)}
    for verb in (Verb.GET, Verb.HEAD, Verb.LIST, Verb.DELETE):
        assert rows[verb] == rights_text(NEEDED[verb])
    for method in Method:
        assert rows[f"sign a {method}"] == rights_text(SIGNED_NEEDS[method])
    assert NEEDED[Verb.SIGN] == (MAY_SIGN,)
    assert rows[Verb.SIGN].startswith(rights_text((MAY_SIGN,)))
    assert rows[Verb.PUT].startswith(rights_text((CREATE, UPDATE)))
    assert rights_text(NEEDED[Verb.GET]) in rows[Verb.COPY]


def shown(name: str, value: object) -> str:
    """A value as the page writes it; the unit is in the setting's name."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or isinstance(value, str):
        return value or "none"
    assert isinstance(value, int | float), name
    if name.endswith("_s"):
        return f"{value:g} s"
    if name.endswith("_bytes"):
        return f"{value / 1024**2:g} MiB" if value % 1024**2 == 0 else f"{value / 1024:g} KiB"
    return f"{value:,}"


def settings_of(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    for each in dataclasses.fields(value):
        found = getattr(value, each.name)
        if dataclasses.is_dataclass(found):
            yield from settings_of(found, f"{prefix}{each.name}.")
        else:
            yield prefix + each.name, shown(each.name, found)


def test_every_limit_and_deadline_is_documented_with_its_default(manual: Any) -> None:
    rows = {row["setting"]: row["default"] for row in manual.table(PAGE, "Limits and deadlines")}

    assert rows == dict(settings_of(GatewaySettings()))
