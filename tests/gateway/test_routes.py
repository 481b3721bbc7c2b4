"""Raw targets to routes: every trap of path and query decoding."""

from __future__ import annotations

import pytest

from stow.errors import StowError
from stow.gateway.openapi import DOCUMENT
from stow.gateway.problems import Refusal, problem_of
from stow.gateway.routes import METHODS, SYSTEM_PATHS, Action, Family, parse_route

C = "/v1/namespaces/team/containers/reports"
L = "/v1/namespaces/team/locations/main/containers/bucket"
CL = "/v1/clusterlocations/main/containers/bucket"


@pytest.mark.parametrize(
    ("base", "family", "namespace", "location", "container"),
    [
        (C, Family.CONTAINER, "team", None, "reports"),
        (L, Family.LOCATION, "team", "main", "bucket"),
        (CL, Family.CLUSTER_LOCATION, None, "main", "bucket"),
    ],
)
@pytest.mark.parametrize(
    ("rest", "method", "action", "key"),
    [
        ("/objects/k", "GET", Action.OBJECT, "k"),
        ("/objects/a/b", "PUT", Action.OBJECT, "a/b"),
        ("/objects/a%2Fb", "HEAD", Action.OBJECT, "a/b"),
        ("/objects//", "DELETE", Action.OBJECT, "/"),
        ("/objects/..", "GET", Action.OBJECT, ".."),
        ("/objects/%2e%2E/%252e", "GET", Action.OBJECT, "../%2e"),
        ("/objects/a+b%2B", "GET", Action.OBJECT, "a+b+"),
        ("/object?key=a+b%2B%26", "GET", Action.OBJECT, "a+b+&"),
        ("/object?key=a/b?c=d", "GET", Action.OBJECT, "a/b?c=d"),
        ("/objects/objects", "GET", Action.OBJECT, "objects"),
        ("/objects/object?", None, None, None),
        ("/objects", "GET", Action.OBJECTS, None),
        ("/sign", "POST", Action.SIGN, None),
        ("/copy", "POST", Action.COPY, None),
    ],
)
def test_both_families_and_cluster_locations_have_the_same_routes(
    base: str,
    family: Family,
    namespace: str | None,
    location: str | None,
    container: str,
    rest: str,
    method: str | None,
    action: Action | None,
    key: str | None,
) -> None:
    if method is None:
        with pytest.raises(StowError):
            parse_route("GET", base + rest)
        return
    route = parse_route(method, base + rest)
    assert route.target is not None
    assert (route.target.family, route.target.namespace, route.target.location, route.target.container) == (
        family,
        namespace,
        location,
        container,
    )
    assert (route.action, route.key) == (action, key)


REFUSED = [
    ("GET", "/v1/namespaces/team%2Fx/containers/reports/objects", 400, "invalid_path"),
    ("GET", "/v1/namespaces/n%2Fcontainers%2Fq/objects/k", 404, "route_not_found"),
    ("GET", "/v1/namespaces/team/containers/re%2Fports/objects/k", 400, "invalid_path"),
    ("GET", "/v1/namespaces/../containers/reports/objects/k", 400, "invalid_path"),
    ("GET", "/v1/namespaces/Team/containers/reports/objects/k", 400, "invalid_path"),
    ("GET", "/v1/namespaces//containers/reports/objects/k", 400, "invalid_path"),
    ("GET", "/v1/namespaces/%FF/containers/reports/objects/k", 400, "invalid_path"),
    ("GET", "/v1/namespaces/%zz/containers/reports/objects/k", 400, "invalid_path"),
    ("GET", "/v1/namespaces/team/containers/a\u0131/objects/k", 400, "invalid_path"),
    ("GET", "/%761/namespaces/team/containers/reports/objects/k", 404, "route_not_found"),
    ("GET", "/v1%2Fnamespaces/team/containers/reports/objects/k", 404, "route_not_found"),
    ("GET", f"/.{C}/objects/k", 404, "route_not_found"),
    ("GET", f"/{C}/objects/k", 404, "route_not_found"),
    ("GET", f"{C}", 404, "route_not_found"),
    ("GET", f"{C}/", 404, "route_not_found"),
    ("GET", f"{C}/Objects/k", 404, "route_not_found"),
    ("GET", f"{C}/object/k", 404, "route_not_found"),
    ("GET", f"{C}/sign/", 404, "route_not_found"),
    ("GET", "/", 404, "route_not_found"),
    ("GET", "/healthz/", 404, "route_not_found"),
    ("GET", "http://gateway" + C + "/objects/k", 400, "invalid_path"),
    ("OPTIONS", "*", 400, "invalid_path"),
    ("CONNECT", "gateway:80", 400, "invalid_path"),
    ("GET", f"{C}/objects/k#f", 400, "invalid_path"),
    ("GET", f"{C}/objects/", 400, "invalid_key"),
    ("GET", f"{C}/objects/%zz", 400, "invalid_key"),
    ("GET", f"{C}/objects/%", 400, "invalid_key"),
    ("GET", f"{C}/objects/%4", 400, "invalid_key"),
    ("GET", f"{C}/objects/%FF", 400, "invalid_key"),
    ("GET", f"{C}/objects/%C3", 400, "invalid_key"),
    ("GET", f"{C}/objects/%ED%A0%80", 400, "invalid_key"),
    ("GET", f"{C}/objects/%C0%AF", 400, "invalid_key"),
    ("GET", f"{C}/objects/\udcff", 400, "invalid_key"),
    ("GET", f"{C}/object", 400, "invalid_key"),
    ("GET", f"{C}/object?", 400, "invalid_key"),
    ("GET", f"{C}/object?key=", 400, "invalid_key"),
    ("GET", f"{C}/object?key=%zz", 400, "invalid_key"),
    ("GET", f"{C}/object?key=a&key=b", 400, "invalid_argument"),
    ("GET", f"{C}/object?k%65y=a", 400, "invalid_argument"),
    ("GET", f"{C}/object?key=a&x=b", 400, "invalid_argument"),
    ("GET", f"{C}/object?key=a&", 400, "invalid_argument"),
    ("GET", f"{C}/objects/k?x", 400, "invalid_argument"),
    ("GET", f"{C}/objects/k?", 400, "invalid_argument"),
    ("POST", f"{C}/sign?x=1", 400, "invalid_argument"),
    ("POST", f"{C}/objects/k", 405, "method_not_allowed"),
    ("POST", f"{C}/objects/%zz", 405, "method_not_allowed"),
    ("PUT", f"{C}/objects", 405, "method_not_allowed"),
    ("GET", f"{C}/sign", 405, "method_not_allowed"),
    ("OPTIONS", f"{C}/objects/k", 405, "method_not_allowed"),
    ("PATCH", f"{C}/object?key=k", 405, "method_not_allowed"),
    ("POST", "/healthz", 405, "method_not_allowed"),
]


@pytest.mark.parametrize(("method", "target", "status", "code"), REFUSED)
def test_what_is_no_route_is_refused(method: str, target: str, status: int, code: str) -> None:
    with pytest.raises((Refusal, StowError)) as caught:
        parse_route(method, target)
    assert isinstance(caught.value, (Refusal, StowError))
    problem = problem_of(caught.value)
    assert (problem.status, problem.code) == (status, code)
    if status == 405:
        assert method not in problem.headers["Allow"].split(", ")


def test_the_description_names_every_route_with_its_methods_and_no_other() -> None:
    fixed = {"namespace": "team", "name": "reports", "location": "main", "container": "bucket", "key": "k"}
    fixed["route"] = "namespaces/team/containers/reports"
    seen: set[tuple[str, str]] = set()
    for path, item in DOCUMENT["paths"].items():
        target = path.format(**fixed)
        required = [p["name"] for p in item.get("parameters", []) if p["in"] == "query" and p["required"]]
        if required:
            target += "?" + "&".join(f"{name}=x" for name in required)
        described = {method.upper() for method in item} - {"PARAMETERS", "SECURITY"}
        route = parse_route(next(iter(described)), target)
        allowed = set(METHODS[route.action]) - ({"HEAD"} if route.action is Action.SYSTEM else set())
        assert described == allowed, path
        seen.add((str(route.action), str(route.target.family) if route.target else route.raw_path))
    families = {(str(a), str(f)) for a in (Action.OBJECT, Action.OBJECTS, Action.SIGN, Action.COPY) for f in Family}
    assert {entry for entry in seen if entry[0] not in {"system", "signed"}} == families
    assert {path for action, path in seen if action == "system"} == SYSTEM_PATHS
    assert any(action == "signed" for action, _ in seen)


def test_every_reference_in_the_description_resolves() -> None:
    names: set[str] = set()

    def walk(value: object) -> None:
        if isinstance(value, dict):
            if "$ref" in value:
                names.add(str(value["$ref"]).rpartition("/")[2])
            for each in value.values():
                walk(each)
        elif isinstance(value, list):
            for each in value:
                walk(each)

    walk(DOCUMENT)
    assert names == {"Problem", "Sign", "Copy"}
    assert names <= DOCUMENT["components"]["schemas"].keys()
