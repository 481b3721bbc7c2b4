"""The README of each example says what the cloud has to allow, and can be read."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
READMES = sorted((ROOT / "examples").glob("*/README.md"))
_MACHINE = re.compile(r"/(?:work|tmp|home|root|Users)/")


def name_of(page: Path) -> str:
    return page.parent.name


def test_every_folder_that_is_applied_has_a_readme() -> None:
    folders = {path.parent.name for path in (ROOT / "examples").glob("*/kustomization.yaml")}

    assert {name_of(page) for page in READMES} == folders
    assert folders


@pytest.mark.parametrize("page", READMES, ids=name_of)
def test_a_readme_says_how_to_apply_it_and_what_has_to_be_allowed(page: Path, manual: Any) -> None:
    text = page.read_text(encoding="utf-8")

    assert f"kubectl apply -k examples/{name_of(page)}" in text
    assert "## Permissions\n" in text
    assert _MACHINE.findall(text) == []
    for block in manual.blocks(page, "json"):
        assert json.loads(block)
    for block in manual.blocks(page, "yaml"):
        assert list(yaml.safe_load_all(block))


def test_the_page_of_locations_leads_to_every_example(manual: Any) -> None:
    linked = set(re.findall(r"\]\(\.\./examples/([a-z0-9]+)/README\.md\)", manual.text("locations.md")))

    assert linked == {name_of(page) for page in READMES}


def test_the_policy_of_s3_allows_no_more_than_its_names(manual: Any) -> None:
    (policy,) = [json.loads(block) for block in manual.blocks(ROOT / "examples" / "s3" / "README.md", "json")]

    assert all(each["Resource"].startswith("arn:aws:s3:::acme-stow-") for each in policy["Statement"])
    assert not [action for each in policy["Statement"] for action in each["Action"] if "*" in action]
