"""The container map and who may see which line of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from stow.errors import ContainerNotAllowedError
from stow.storage.containers import MAX_DYNAMIC, ContainerMap, visible
from stow.storage.model import ContainerEntry, Origin, Scope

START = datetime(2026, 1, 2, tzinfo=UTC)


def entry(name: str, origin: Origin, *, uid: str = "location", minutes: int = 0) -> ContainerEntry:
    return ContainerEntry(name, f"s3://{name}", origin, START + timedelta(minutes=minutes), uid)


RANKED = (Origin.DYNAMIC, Origin.DECLARED, Origin.BASE)


@pytest.mark.parametrize("old", RANKED)
@pytest.mark.parametrize("new", RANKED)
def test_a_line_is_replaced_by_one_of_its_rank_or_above_alone(old: Origin, new: Origin) -> None:
    lines = ContainerMap()
    first = lines.record(entry("box", old, uid="one"))
    second = entry("box", new, uid="two", minutes=1)
    wanted = second if RANKED.index(new) >= RANKED.index(old) else first
    assert lines.record(second) == wanted
    assert lines.get("box") == wanted


@pytest.mark.parametrize("origin", RANKED)
def test_loading_again_keeps_the_first_time(origin: Origin) -> None:
    lines = ContainerMap()
    lines.record(entry("box", origin))
    assert lines.record(entry("box", origin, minutes=5)).loaded_at == START


def test_forgetting_takes_only_the_owners_line_and_never_the_base() -> None:
    lines = ContainerMap()
    for name, origin in (("base", Origin.BASE), ("declared", Origin.DECLARED), ("dynamic", Origin.DYNAMIC)):
        lines.record(entry(name, origin, uid=f"uid-{name}"))
    lines.forget("declared", uid="another")
    lines.forget("base")
    lines.forget("unknown")
    assert [e.name for e in lines.all()] == ["base", "declared", "dynamic"]
    lines.forget("declared", uid="uid-declared")
    lines.forget("dynamic")
    assert [e.name for e in lines.all()] == ["base"]


def test_the_base_comes_first_and_the_rest_by_name() -> None:
    lines = ContainerMap()
    for name in ("zoo", "ant", "mid"):
        lines.record(entry(name, Origin.BASE if name == "mid" else Origin.DYNAMIC))
    assert [e.name for e in lines.all()] == ["mid", "ant", "zoo"]


def test_dynamic_lines_are_bounded_and_the_oldest_goes() -> None:
    lines = ContainerMap()
    lines.record(entry("base", Origin.BASE))
    lines.record(entry("declared", Origin.DECLARED))
    for number in range(MAX_DYNAMIC + 3):
        lines.record(entry(f"dynamic-{number}", Origin.DYNAMIC, minutes=number))
    names = {e.name for e in lines.all()}
    assert len(names) == MAX_DYNAMIC + 2
    assert {"base", "declared", "dynamic-3", f"dynamic-{MAX_DYNAMIC + 2}"} <= names
    assert not {"dynamic-0", "dynamic-1", "dynamic-2"} & names


OPERATOR, OWNER, OTHER, LOCATION = None, Scope("a", "uid-1"), Scope("b", "uid-2"), Scope("a")


@pytest.mark.parametrize(
    ("origin", "uid", "seen_by"),
    [
        (Origin.BASE, "location", {OPERATOR, LOCATION}),
        (Origin.DYNAMIC, "location", {OPERATOR, LOCATION}),
        (Origin.DECLARED, "uid-1", {OPERATOR, OWNER}),
    ],
)
def test_a_line_is_seen_by_its_users_alone(origin: Origin, uid: str, seen_by: set[Scope | None]) -> None:
    line = entry("box", origin, uid=uid)
    for scope in (OPERATOR, OWNER, OTHER, LOCATION):
        if scope in seen_by:
            assert visible(line, scope) is line
        else:
            with pytest.raises(ContainerNotAllowedError):
                visible(line, scope)
