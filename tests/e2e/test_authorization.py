"""Who may do what, decided by the real API server: verb x method x right x existence, with plain Roles.

Every line of the tables is one ServiceAccount with one Role, so no cached answer of another one counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from e2e.cluster import ALL_OBJECTS, MAY_SIGN, RBAC, rule
from e2e.installation import Installation
from e2e.web import Reply, container_path, location_path

OBJECTS = "stowcontainers/objects"
VERBS = ("get", "list", "create", "update", "delete")


@dataclass(frozen=True, slots=True)
class Place:
    """A namespace with the containers `reports` and `other`, each with the object `there`."""

    installation: Installation
    namespace: str
    owner: str
    """A token that may do all."""

    async def account(self, name: str, *rules: Any) -> str:
        return await self.installation.cluster.workload(self.namespace, name, *rules)

    async def ask(self, method: str, rest: str, token: str, *, container: str = "reports", **more: Any) -> Reply:
        target = f"{container_path(self.namespace, container)}/{rest}"
        return await self.installation.web.ask(method, target, token=token, **more)

    async def post(self, rest: str, document: dict[str, Any], token: str, *, container: str = "reports") -> Reply:
        target = f"{container_path(self.namespace, container)}/{rest}"
        return await self.installation.web.post(target, document, token=token)


@pytest.fixture(scope="module")
async def place(installation: Installation) -> Place:
    cluster = installation.cluster
    team = await cluster.namespace()
    await installation.location("local", team, signedURL={"methods": ["GET", "PUT", "HEAD", "DELETE"]})
    for name in ("reports", "other"):
        await cluster.ready(await installation.container(team, name))
    owner = await cluster.workload(team, "owner", ALL_OBJECTS, MAY_SIGN)
    found = Place(installation, team, owner)
    for name in ("reports", "other"):
        assert (await found.ask("PUT", "objects/there", owner, container=name, body=b"old")).status == 200
    return found


# The right alone decides; then what is there decides between success and 404.


@pytest.mark.parametrize("verb", [*VERBS, "sign", "nothing"])
async def test_each_right_opens_its_own_methods_and_no_other(place: Place, verb: str) -> None:
    """On an object that is there, one that is not, and a container that is not; 403 looks the same on all three."""
    rules = {"sign": [MAY_SIGN], "nothing": []}.get(verb, [rule(OBJECTS, verb)])
    token = await place.account(f"only-{verb}", *rules)
    opened = {"get": {"GET", "HEAD"}, "list": {"LIST"}, "delete": {"DELETE"}, "create": {"PUT"}, "update": {"PUT"}}
    for method in ("GET", "HEAD", "LIST", "PUT", "DELETE"):
        answers = [await attempt(place, method, token, *at) for at in WHERE]
        if method not in opened.get(verb, set()):
            assert {(each.status, each.code) for each in answers} == {(403, "forbidden")}, (method, answers)
            assert len({_told(each) for each in answers}) == 1, "a refusal tells whether something exists"
        else:
            assert [each.status for each in answers] == EXPECTED[verb, method], (method, answers)
            assert answers[-1].code == "container_not_found"
            again = await place.ask("PUT", "objects/there", place.owner, body=b"old")
            assert again.status == 200


WHERE: Sequence[tuple[str, str]] = (("reports", "there"), ("reports", "absent"), ("nowhere", "there"))
EXPECTED = {
    ("get", "GET"): [200, 404, 404],
    ("get", "HEAD"): [200, 404, 404],
    ("list", "LIST"): [200, 200, 404],
    ("delete", "DELETE"): [204, 204, 404],
    ("create", "PUT"): [412, 201, 404],
    ("update", "PUT"): [200, 412, 404],
}
"""By right and method: the object that is there, the one that is not, the container that is not."""


async def attempt(place: Place, method: str, token: str, container: str, key: str) -> Reply:
    if method == "LIST":
        return await place.ask("GET", f"objects?prefix={key}", token, container=container)
    body = b"new" if method == "PUT" else None
    made = await place.ask(method, f"objects/{key}", token, container=container, body=body)
    if made.status == 201:  # leave it as it was for the next line
        await place.ask("DELETE", f"objects/{key}", place.owner)
    return made


def _told(answer: Reply) -> tuple[bytes, tuple[tuple[str, str], ...]]:
    kept = {"Date", "Stow-Request-Id"}
    return answer.body, tuple(sorted((k, v) for k, v in answer.headers.items() if k not in kept))


async def test_create_alone_never_replaces_and_update_alone_never_creates(place: Place) -> None:
    creator = await place.account("creator", rule(OBJECTS, "create"))
    updater = await place.account("updater", rule(OBJECTS, "update"))
    assert (await place.ask("PUT", "objects/once", updater, body=b"1")).code == "precondition_failed"
    assert (await place.ask("PUT", "objects/once", creator, body=b"2")).status == 201
    assert (await place.ask("PUT", "objects/once", creator, body=b"3")).code == "precondition_failed"
    assert (await place.ask("PUT", "objects/once", updater, body=b"4")).status == 200
    asked = await place.ask("PUT", "objects/once", creator, body=b"5", headers={"If-Match": "*"})
    assert (asked.status, asked.code) == (403, "forbidden")
    asked = await place.ask("PUT", "objects/fresh", updater, body=b"6", headers={"If-None-Match": "*"})
    assert (asked.status, asked.code) == (403, "forbidden")
    assert (await place.ask("GET", "objects/once", place.owner)).body == b"4"


async def test_resource_names_narrow_a_role_to_one_container(place: Place) -> None:
    token = await place.account("narrow", rule(OBJECTS, "get", "list", names=["reports"]))
    assert (await place.ask("GET", "objects/there", token)).status == 200
    assert (await place.ask("GET", "objects", token)).status == 200
    for container in ("other", "nowhere"):
        for rest in ("objects/there", "objects"):
            answer = await place.ask("GET", rest, token, container=container)
            assert (answer.status, answer.code) == (403, "forbidden")


SIGNING = [
    # method, rights on objects, may sign, status
    ("GET", ["get"], True, 200),
    ("GET", ["get"], False, 403),
    ("GET", [], True, 403),
    ("GET", ["create", "update", "list", "delete"], True, 403),
    ("HEAD", ["get"], True, 200),
    ("PUT", ["create", "update"], True, 200),
    ("PUT", ["create"], True, 403),
    ("PUT", ["update"], True, 403),
    ("PUT", ["get"], True, 403),
    ("DELETE", ["delete"], True, 200),
    ("DELETE", ["get"], True, 403),
]


@pytest.mark.parametrize(
    ("number", "line"), list(enumerate(SIGNING)), ids=[f"{m}-{'+'.join(r)}-{s}" for m, r, s, _ in SIGNING]
)
async def test_signing_needs_its_own_right_and_that_of_the_method(place: Place, number: int, line: Any) -> None:
    method, rights, may_sign, status = line
    rules = [*([rule(OBJECTS, *rights)] if rights else []), *([MAY_SIGN] if may_sign else [])]
    token = await place.account(f"signer-{number}", *rules)
    answer = await place.post("sign", {"key": "there", "method": method}, token)
    assert answer.status == status, answer
    if status == 403:
        assert answer.code == "forbidden"
    absent = await place.post("sign", {"key": "there", "method": method}, token, container="nowhere")
    assert absent.status == (404 if status == 200 else 403)


COPYING = [
    # rights on the source, rights on the destination, status
    (["get"], ["create", "update"], 200),
    (["get"], [], 403),
    ([], ["create", "update"], 403),
    (["list"], ["create", "update"], 403),
    (["get"], ["create"], 412),
    (["get"], ["update"], 200),
]


@pytest.mark.parametrize(
    ("number", "line"), list(enumerate(COPYING)), ids=[f"{'+'.join(s)}-{'+'.join(d)}" for s, d, _ in COPYING]
)
async def test_a_copy_needs_get_there_and_the_rights_of_a_put_here(place: Place, number: int, line: Any) -> None:
    there, here, status = line
    rules = [rule(OBJECTS, *rights, names=[name]) for name, rights in (("other", there), ("reports", here)) if rights]
    token = await place.account(f"copier-{number}", *rules)
    document = {"source": {"namespace": place.namespace, "container": "other", "key": "there"}}
    answer = await place.post("copy", {**document, "destination": {"key": "there"}}, token)
    assert answer.status == status, answer


async def test_a_copy_reads_another_namespace_only_with_a_right_there(place: Place) -> None:
    installation, cluster = place.installation, place.installation.cluster
    other = await cluster.namespace("other")
    await installation.location("local", other)
    await cluster.ready(await installation.container(other, "theirs"))
    theirs = await cluster.workload(other, "owner", ALL_OBJECTS)
    path = f"{container_path(other, 'theirs')}/objects/k"
    assert (await installation.web.ask("PUT", path, token=theirs, body=b"theirs")).status == 200
    document = {"source": {"namespace": other, "container": "theirs", "key": "k"}, "destination": {"key": "copied"}}
    refused = await place.post("copy", document, place.owner)
    assert (refused.status, refused.code) == (403, "forbidden")
    await cluster.account(place.namespace, "guest")
    await cluster.grant(place.namespace, "guest", [ALL_OBJECTS])
    await cluster.grant(other, "guest", [rule(OBJECTS, "get")], of=place.namespace)
    guest = await cluster.token(place.namespace, "guest")
    assert (await place.post("copy", document, guest)).status == 200
    assert (await place.ask("GET", "objects/copied", place.owner)).body == b"theirs"


async def test_location_routes_have_rights_of_their_own(place: Place) -> None:
    """Rights on StowContainers open no location, rights on one location no other, and Declared containers stay closed there."""
    installation, cluster = place.installation, place.installation.cluster
    team, base = place.namespace, f"{place.namespace}-base"
    spec = {"baseContainer": {"name": base, "createIfNotFound": True}}
    await cluster.ready(await installation.location("local", team, "based", **spec))
    token = await place.account("based", rule("stowlocations/objects", *VERBS, names=["based"]))
    path = f"{location_path(team, 'based', base)}/objects/k"
    web = installation.web
    assert (await web.ask("PUT", path, token=token, body=b"x")).status == 200
    assert (await web.ask("GET", path, token=token)).body == b"x"
    assert (await web.ask("GET", path, token=place.owner)).code == "forbidden"
    elsewhere = f"{location_path(team, 'main', base)}/objects/k"
    assert (await web.ask("GET", elsewhere, token=token)).code == "forbidden"
    declared = f"{location_path(team, 'main', f'{team}-reports')}/objects/there"
    insider = await place.account("insider", rule("stowlocations/objects", *VERBS))
    for at in (declared, f"{location_path(team, 'main', 'nowhere')}/objects/there"):
        answer = await web.ask("GET", at, token=insider)
        assert (answer.status, answer.code) == (403, "container_not_allowed"), answer


async def test_a_cluster_location_is_governed_by_roles_of_the_callers_namespace(place: Place) -> None:
    """A RoleBinding there is enough, one elsewhere is not, and allowedNamespaces stands above both."""
    cluster, web = place.installation.cluster, place.installation.web
    name, stranger = place.namespace, await cluster.namespace("stranger")
    spec = {
        "local": {"path": name},
        "baseContainer": {"name": f"{name}-shared", "createIfNotFound": True},
        "allowedNamespaces": {"names": [name]},
    }
    location = await cluster.create("ClusterStowLocation", None, name, spec)
    await cluster.ready(location)
    path = f"/v1/clusterlocations/{name}/containers/{name}-shared/objects/k"
    right = rule("clusterstowlocations/objects", *VERBS, names=[name])
    allowed = await place.account("shared", right)
    assert (await web.ask("PUT", path, token=allowed, body=b"x")).status == 200
    assert (await web.ask("GET", path, token=allowed)).body == b"x"
    assert (await web.ask("GET", path, token=place.owner)).code == "forbidden"

    outside = await cluster.workload(stranger, "shared", right)
    refused = await web.ask("GET", path, token=outside)
    assert (refused.status, refused.code) == (403, "namespace_not_allowed")
    unbound = await cluster.workload(stranger, "unbound")
    await cluster.grant(place.namespace, "unbound", [right], of=stranger)
    assert (await web.ask("GET", path, token=unbound)).code == "forbidden"
    await cluster.delete(location)


async def test_a_cluster_role_bound_everywhere_counts_too(place: Place) -> None:
    cluster, name = place.installation.cluster, f"reader-{place.namespace}"
    await cluster.account(place.namespace, "everywhere")
    await cluster.request(
        "POST", f"{RBAC}/clusterroles", body={"metadata": {"name": name}, "rules": [rule(OBJECTS, "get")]}
    )
    binding = {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": "everywhere", "namespace": place.namespace}],
    }
    await cluster.request("POST", f"{RBAC}/clusterrolebindings", body=binding)
    token = await cluster.token(place.namespace, "everywhere")
    assert (await place.ask("GET", "objects/there", token)).status == 200
    assert (await place.ask("PUT", "objects/there", token, body=b"x")).code == "forbidden"
    await cluster.request("DELETE", f"{RBAC}/clusterrolebindings/{name}")
    await cluster.request("DELETE", f"{RBAC}/clusterroles/{name}")
