"""What the prose of any page mentions - reasons, options, metrics, variables, codes, files - is there under that name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
import pytest

from stow.api.reasons import Reason
from stow.cli.main import main
from stow.gateway.access import RESOURCES

ROOT = Path(__file__).parents[2]
PAGES = (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")))
_SPAN = re.compile(r"`([^`\n]+)`")
_REASON = re.compile(
    r"\b(?:Ready|Stalled|Conflict|DeletionBlocked|Reconciling|Reachable|CredentialsValid(?:=False)?)/(\w+)"
)
_VARIABLE = re.compile(r"\bSTOW_[A-Z_]+\b")
_METRIC = re.compile(r"\bstow_[a-z_]+\b")
_FILE = re.compile(r"^(?:operator|tests|examples|crds|docs)/[\w./-]+$")
_RESOURCE = re.compile(r"\b(?:cluster)?stow(?:location|container)s\b")
OTHER_PROGRAMS = {"--require-hashes"}
"""Options of pip, not of ours."""


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def spans(page: Path) -> list[str]:
    """The inline code of a page."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return _SPAN.findall(text)


def option_names() -> set[str]:
    return {
        name
        for command in main.commands.values()
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for name in (*parameter.opts, *parameter.secondary_opts)
    } | {"--help"}


def variables() -> set[str]:
    """Those that click makes of the options, and those that the source reads itself."""
    of_options = {
        f"STOW_{command}_{parameter.name}".upper()
        for command, found in main.commands.items()
        for parameter in found.params
        if isinstance(parameter, click.Option)
    }
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "operator" / "stow").rglob("*.py"))
    return of_options | set(re.findall(r'"(STOW_[A-Z_]+)"', source))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_reason_that_is_mentioned_is_one(page: Path) -> None:
    mentioned = set(_REASON.findall(page.read_text(encoding="utf-8")))

    assert mentioned <= set(Reason)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_option_that_is_mentioned_is_one(page: Path) -> None:
    mentioned = {word.partition("=")[0] for span in spans(page) for word in span.split() if word.startswith("--")}

    assert mentioned - OTHER_PROGRAMS <= option_names()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_environment_variable_that_is_mentioned_is_read(page: Path) -> None:
    assert set(_VARIABLE.findall(page.read_text(encoding="utf-8"))) <= variables()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_metric_that_is_mentioned_is_in_its_table(page: Path, manual: Any) -> None:
    rows = [manual.table("metrics.md", heading) for heading in ("Stores", "Gateway", "Operator")]

    assert set(_METRIC.findall(page.read_text(encoding="utf-8"))) <= {row["metric"] for table in rows for row in table}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_file_that_is_mentioned_is_there(page: Path) -> None:
    assert [span for span in spans(page) if _FILE.match(span) and not (ROOT / span).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_resource_that_is_mentioned_is_one(page: Path) -> None:
    assert set(_RESOURCE.findall(page.read_text(encoding="utf-8"))) <= set(RESOURCES.values())


def test_codes_that_metrics_are_watched_for_are_codes(manual: Any) -> None:
    codes = {row["code"] for row in manual.table("object-api.md", "Errors")}
    section = manual.section("metrics.md", "What to watch")
    mentioned = {*re.findall(r'code="(\w+)"', section), *re.findall(r"`((?:backend|access|credentials)_\w+)`", section)}

    assert mentioned
    assert mentioned <= codes
