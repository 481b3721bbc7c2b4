"""The names that stand in other people's clusters."""

import pytest

from stow.api.meta import ABANDON_ANNOTATION, FINALIZER, KINDS, is_abandoned


def test_the_names_are_what_they_were() -> None:
    """A renamed finalizer or annotation strands the objects that carry the old one."""
    assert FINALIZER == "stowstore.io/stow-operator"
    assert ABANDON_ANNOTATION == "stowstore.io/abandon"
    assert {each.crd_name for each in KINDS.values()} == {
        "stowlocations.stowstore.io",
        "clusterstowlocations.stowstore.io",
        "stowcontainers.stowstore.io",
    }


@pytest.mark.parametrize(
    ("metadata", "abandoned"),
    [
        ({}, False),
        ({"annotations": None}, False),
        ({"annotations": "stowstore.io/abandon"}, False),
        ({"annotations": {}}, False),
        ({"annotations": {"stowstore.io/abandon": "true"}}, True),
        ({"annotations": {"stowstore.io/abandon": "True"}}, False),
        ({"annotations": {"stowstore.io/abandon": True}}, False),
        ({"annotations": {"stowstore.io/abandon": "false"}}, False),
        ({"annotations": {"stowstore.io/abandon": ""}}, False),
    ],
)
def test_only_an_exact_true_abandons(metadata: dict[str, object], abandoned: bool) -> None:
    """It gives data up, so a typing error must not do it."""
    assert is_abandoned(metadata) is abandoned
