"""Every page can be read: links lead somewhere, examples are what the API takes, and nothing is of one machine."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from stow.api.container import container_spec
from stow.api.location import location_spec
from stow.api.meta import API_VERSION, GROUP, KINDS, LOCATION_KINDS

ROOT = Path(__file__).parents[2]
PAGES = (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")))
_LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
_CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
_MACHINE = re.compile(r"/(?:work|tmp|home|root|Users)/")
_WORDS_OF_NO_PAGE = re.compile(r"\b(TODO|FIXME|TBD|coming soon|not yet implemented)\b", re.IGNORECASE)


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """What GitHub makes of the headings."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    found = re.findall(r"^#+ +(.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


def objects(page: Path, manual: Any) -> list[dict[str, Any]]:
    """The Kubernetes objects in a page's YAML blocks."""
    documents = [each for block in manual.blocks(page, "yaml") for each in yaml.safe_load_all(block)]
    return [each for each in documents if isinstance(each, dict) and "kind" in each]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_leads_to_a_page_and_a_heading_that_are_there(page: Path) -> None:
    broken = []
    for link in _LINK.findall(_CODE.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = page if not name else page.parent / name
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)

    assert broken == []


def test_the_map_of_the_documentation_names_every_page(manual: Any) -> None:
    linked = {
        (source.parent / link.partition("#")[0]).resolve()
        for source in (ROOT / "docs" / "index.md", ROOT / "docs" / "adr" / "README.md")
        for link in _LINK.findall(source.read_text(encoding="utf-8"))
    }
    pages = {each for each in (ROOT / "docs").rglob("*.md") if each.name != "index.md"}

    assert pages - linked == set()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_example_of_our_kinds_is_one_that_the_api_takes(page: Path, manual: Any) -> None:
    for example in objects(page, manual):
        if not str(example["apiVersion"]).startswith(GROUP):
            continue
        assert example["apiVersion"] == API_VERSION
        kind = KINDS[example["kind"]]
        assert kind.namespaced or "namespace" not in example["metadata"]
        if kind.kind in LOCATION_KINDS:
            location_spec(kind.kind, example["spec"])
        else:
            container_spec(example["spec"])


def test_the_pages_of_both_custom_resources_have_examples_of_them(manual: Any) -> None:
    shown = {
        each["kind"] for page in ("locations.md", "containers.md") for each in objects(ROOT / "docs" / page, manual)
    }

    assert set(KINDS) <= shown


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_yaml_and_json_block_can_be_read(page: Path, manual: Any) -> None:
    for block in manual.blocks(page, "yaml"):
        assert list(yaml.safe_load_all(block))
    for block in manual.blocks(page, "json"):
        assert json.loads(block)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_page_holds_a_path_of_one_machine_or_a_promise_for_later(page: Path) -> None:
    text = page.read_text(encoding="utf-8")

    assert _MACHINE.findall(text) == []
    assert _WORDS_OF_NO_PAGE.findall(text) == []


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "adr").glob("0*.md")), ids=name_of)
def test_every_decision_has_its_number_and_its_four_parts_on_one_page(page: Path) -> None:
    text = page.read_text(encoding="utf-8")

    assert text.startswith(f"# {page.name[:4]} ")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Alternatives", "Consequences"]
    assert len(text.splitlines()) <= 60
