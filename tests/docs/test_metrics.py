"""`docs/metrics.md` names every metric with its type and labels, and no other."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

import stow

PACKAGE = Path(stow.__file__).parent
FAMILIES = {"Counter", "Gauge", "Histogram", "Summary", "Info", "Enum"}


def sources() -> Iterator[tuple[str, ast.Module]]:
    """Every module of the package."""
    for found in pkgutil.walk_packages([str(PACKAGE)], "stow."):
        if not found.ispkg:
            path = PACKAGE.joinpath(*found.name.split(".")[1:]).with_suffix(".py")
            yield found.name, ast.parse(path.read_text(encoding="utf-8"))


def imports_families(module: ast.Module) -> bool:
    imports = [
        node for node in ast.walk(module) if isinstance(node, ast.ImportFrom) and node.module == "prometheus_client"
    ]
    return any(alias.name in FAMILIES for node in imports for alias in node.names)


def makers() -> dict[str, list[str]]:
    """Modules that make metrics, with the classes that do."""
    return {
        name: [
            node.name
            for node in module.body
            if isinstance(node, ast.ClassDef)
            and any(isinstance(call, ast.Call) and getattr(call.func, "id", "") in FAMILIES for call in ast.walk(node))
        ]
        for name, module in sources()
        if imports_families(module)
    }


def registered() -> dict[str, tuple[str, str]]:
    """Name as it is exposed, to type and labels."""
    registry = CollectorRegistry()
    for module, classes in makers().items():
        assert classes, f"{module} makes metrics outside of a class"
        for name in classes:
            maker = getattr(importlib.import_module(module), name)
            assert list(inspect.signature(maker).parameters) == ["registry"], f"{name} takes a registry and no more"
            maker(registry)
    found = {}
    for collector in registry._collector_to_names:
        (family,) = collector.describe()
        name = f"{family.name}_total" if family.type == "counter" else family.name
        found[name] = (family.type, ", ".join(collector._labelnames))
    return found


def test_every_metric_is_documented_with_its_type_and_labels_and_no_other_is(manual: Any) -> None:
    documented = {
        row["metric"]: (row["type"], row["labels"])
        for heading in ("Stores", "Gateway", "Operator")
        for row in manual.table("metrics.md", heading)
    }

    assert documented == registered()


def test_no_label_could_hold_a_key_a_container_or_a_user() -> None:
    labels = {label for _, text in registered().values() for label in text.split(", ") if label}

    assert labels.isdisjoint({"key", "container", "user", "namespace", "object", "token", "bucket", "url"})
