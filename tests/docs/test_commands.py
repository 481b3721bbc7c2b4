"""`docs/operations.md`, `docs/cli.md` and `docs/development.md` name every option, verb, exit code, make target and crash point."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
import pytest

from stow.cli.exits import Exit
from stow.cli.main import main
from stow.cli.objects import VERBS
from stow.dev.assets import TOOLS
from stow.kube.keys import DEFAULT_NAME
from stow.storage.crashpoints import CrashPoint

ROOT = Path(__file__).parents[2]
SERVERS = ("operator", "gateway")


def options(command: str) -> dict[str, str]:
    """Each option with its default as a person writes it."""
    found = {}
    for each in main.commands[command].params:
        if isinstance(each, click.Option):
            default = each.default if isinstance(each.default, str | int) else ""
            found[each.opts[-1]] = ("on" if default else "off") if each.is_flag else str(default)
    return found


def documented(manual: Any, heading: str) -> dict[str, str]:
    return {row["option"]: row["default"] for row in manual.table("operations.md", heading)}


@pytest.mark.parametrize("server", SERVERS)
def test_every_option_of_a_server_is_documented_with_its_default_and_no_other_is(server: str, manual: Any) -> None:
    shared = documented(manual, "Options of both servers")
    own = documented(manual, f"Options of stow {server}")

    assert {**shared, **own} == options(server)
    assert shared.keys().isdisjoint(own)


def test_every_option_of_stow_dev_is_documented(manual: Any) -> None:
    text = manual.text("development.md")

    assert [name for name in options("dev") if f"{name}`" not in text and f"{name} " not in text] == []


def test_every_client_verb_is_documented(manual: Any) -> None:
    verbs = {row["verb"].split()[1] for row in manual.table("cli.md", "Client verbs")}

    assert verbs == {verb.name for verb in VERBS}


def test_every_exit_code_is_documented(manual: Any) -> None:
    codes = {int(row["code"]) for row in manual.table("cli.md", "Exit codes")}

    assert codes == {int(code) for code in Exit}


def test_every_crash_point_is_documented(manual: Any) -> None:
    assert {row["name"] for row in manual.table("development.md", "Crash points")} == set(CrashPoint)


def test_every_make_target_is_documented(manual: Any) -> None:
    phony = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    rows = {row["target"].removeprefix("make ") for row in manual.table("development.md", "Make targets")}

    assert phony is not None
    assert rows == set(phony[1].split())


def test_every_folder_of_tests_that_is_documented_is_there_and_every_folder_is_documented(manual: Any) -> None:
    rows = [row["folder"] for row in manual.table("development.md", "One suite", first_column="folder")]
    named = {name for row in rows for name in row.split(", ")}
    there = {f"tests/{each.parent.relative_to(ROOT / 'tests').parts[0]}" for each in ROOT.glob("tests/*/**/test_*.py")}

    assert named == there


def test_every_program_that_is_found_or_built_is_documented(manual: Any) -> None:
    section = manual.section("development.md", "Where the servers come from").lower()

    assert [name for name in TOOLS if name not in section] == []


def test_the_secret_of_the_keys_is_documented_by_its_name(manual: Any) -> None:
    assert f"`{DEFAULT_NAME}`" in manual.section("operations.md", "Keys")
