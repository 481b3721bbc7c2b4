"""Which namespaces a ClusterStowLocation lets in: by name, or by a label selector as Kubernetes writes it.

Fails closed: an absent or empty `allowedNamespaces` lets nobody in, and an empty selector is refused. (In other places of
Kubernetes an empty selector means everybody; here a slip would open the location, so everybody must be spelled out, for
instance with `{key: kubernetes.io/metadata.name, operator: Exists}`.)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from stow.api.fields import Fields
from stow.api.names import DNS_LABEL

OPERATORS: Final = ("In", "NotIn", "Exists", "DoesNotExist")
_MAX_NAMES: Final = 512
_MAX_TERMS: Final = 32
_MAX_VALUES: Final = 64


@dataclass(frozen=True, slots=True)
class Requirement:
    """One term of a label selector."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def fits(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels meet this term; as in Kubernetes, NotIn also takes an object without the label."""
        if self.operator == "Exists":
            return self.key in labels
        if self.operator == "DoesNotExist":
            return self.key not in labels
        if self.operator == "In":
            return labels.get(self.key) in self.values if self.key in labels else False
        return self.operator == "NotIn" and labels.get(self.key) not in self.values


@dataclass(frozen=True, slots=True)
class AllowedNamespaces:
    """`spec.allowedNamespaces`; `requirements` is None without a selector."""

    names: frozenset[str] = frozenset()
    requirements: tuple[Requirement, ...] | None = None

    def allows(self, namespace: str, labels: Mapping[str, str] | None) -> bool:
        """Whether the namespace, with the labels it has now, may use the location.

        None: its labels are not known, as of one that has just been made. Then no selector lets it in, not even one that asks for the
        absence of a label.
        """
        if namespace in self.names:
            return True
        if labels is None:
            return False
        return bool(self.requirements) and all(each.fits(labels) for each in self.requirements or ())


def allowed_namespaces_from_fields(fields: Fields) -> AllowedNamespaces:
    """Reads `allowedNamespaces`. Raises: InvalidSpecError."""
    names = frozenset(fields.texts("names", max_items=_MAX_NAMES, max_length=63))
    if not all(DNS_LABEL.fullmatch(name) for name in names):
        raise fields.error("names", "must be names of namespaces")
    if not fields.has("selector"):
        return AllowedNamespaces(names=names)
    selector = fields.child("selector")
    labels = selector.child("matchLabels")
    if len(labels.values) > _MAX_TERMS:
        raise selector.error("matchLabels", f"must have at most {_MAX_TERMS} entries")
    terms = [Requirement(str(key), "In", (_label_value(labels, key),)) for key in labels.values]
    terms += [_requirement(entry) for entry in selector.children("matchExpressions", max_items=_MAX_TERMS)]
    if not terms:
        raise fields.error("selector", "must not be empty; for every namespace use kubernetes.io/metadata.name Exists")
    return AllowedNamespaces(names=names, requirements=tuple(terms))


def _label_value(labels: Fields, key: str) -> str:
    value = labels.values[key]
    if not isinstance(value, str):
        raise labels.error(str(key), "must be a string")
    return value


def _requirement(entry: Fields) -> Requirement:
    operator = entry.one_of("operator", OPERATORS)
    values = entry.items("values", max_items=_MAX_VALUES)
    if not all(isinstance(each, str) for each in values):
        raise entry.error("values", "must be strings")
    if bool(values) != (operator in ("In", "NotIn")):
        raise entry.error("values", "must be there for In and NotIn, and absent for Exists and DoesNotExist")
    return Requirement(entry.text("key", max_length=317), operator, tuple(str(each) for each in values))
