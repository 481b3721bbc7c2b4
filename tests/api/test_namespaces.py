"""A ClusterStowLocation lets in whom it names, and nobody else."""

from typing import Any

import pytest

from stow.api.fields import Fields
from stow.api.namespaces import AllowedNamespaces, allowed_namespaces_from_fields
from stow.errors import InvalidSpecError

LABELS = {"team": "a", "stage": "prod", "kubernetes.io/metadata.name": "team-a"}


def term(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"selector": {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}}


@pytest.mark.parametrize(
    ("allowed", "lets_in"),
    [
        (None, False),
        ({}, False),
        ({"names": []}, False),
        ({"names": ["team-a"]}, True),
        ({"names": ["team"]}, False),
        ({"names": ["team-ab"]}, False),
        ({"selector": {"matchLabels": {"team": "a"}}}, True),
        ({"selector": {"matchLabels": {"team": "a", "stage": "test"}}}, False),
        ({"selector": {"matchLabels": {"absent": ""}}}, False),
        ({"names": ["other"], "selector": {"matchLabels": {"team": "a"}}}, True),
        ({"names": ["team-a"], "selector": {"matchLabels": {"team": "b"}}}, True),
        (term("kubernetes.io/metadata.name", "Exists"), True),
        (term("absent", "Exists"), False),
        (term("absent", "DoesNotExist"), True),
        (term("team", "DoesNotExist"), False),
        (term("team", "In", "a", "b"), True),
        (term("team", "In", "b"), False),
        (term("absent", "In", "a"), False),
        (term("team", "NotIn", "b"), True),
        (term("team", "NotIn", "a"), False),
        (term("absent", "NotIn", "a"), True),
        ({"selector": {"matchLabels": {"team": "a"}, **term("stage", "In", "test")["selector"]}}, False),
    ],
)
def test_a_namespace_is_let_in_or_not(allowed: object, lets_in: bool) -> None:
    spec = Fields.of({"allowedNamespaces": allowed}, "spec")

    rule = allowed_namespaces_from_fields(spec.child("allowedNamespaces"))

    assert rule.allows("team-a", LABELS) is lets_in


def test_by_default_nobody_is_let_in() -> None:
    assert not AllowedNamespaces().allows("team-a", LABELS)
    assert not AllowedNamespaces(requirements=()).allows("team-a", LABELS)


@pytest.mark.parametrize(
    ("allowed", "field"),
    [
        ("team-a", "spec"),
        ({"names": "team-a"}, "names"),
        ({"names": [None]}, "names[0]"),
        ({"names": ["*"]}, "names"),
        ({"names": [f"n{at}" for at in range(513)]}, "names"),
        ({"selector": {}}, "selector"),
        ({"selector": {"matchLabels": {}}}, "selector"),
        ({"selector": []}, "selector"),
        ({"selector": {"matchLabels": {"a": 1}}}, "selector.matchLabels.a"),
        ({"selector": {"matchLabels": {str(at): "" for at in range(33)}}}, "selector.matchLabels"),
        ({"selector": {"matchExpressions": {}}}, "selector.matchExpressions"),
        (term("a", "Gt", "1"), "selector.matchExpressions[0].operator"),
        (term("a", "In"), "selector.matchExpressions[0].values"),
        (term("a", "Exists", "x"), "selector.matchExpressions[0].values"),
        (term("", "Exists"), "selector.matchExpressions[0].key"),
        ({"selector": {"matchExpressions": [{"key": "a", "operator": "In", "values": [1]}]}},
         "selector.matchExpressions[0].values"),
    ],
)  # fmt: skip
def test_what_cannot_be_understood_is_refused_with_its_path(allowed: object, field: str) -> None:
    with pytest.raises(InvalidSpecError) as caught:
        allowed_namespaces_from_fields(Fields.of(allowed, "spec"))

    assert caught.value.message.startswith("spec" if field == "spec" else f"spec.{field}: ")
