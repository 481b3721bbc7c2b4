"""May they: verb x right x existence, over the wire with a reviewer played by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from gateway.world import ALICE, ALL_RIGHTS, BASE, World
from stow.drivers.memory import MemoryDriver
from stow.gateway.access import Verb, WriteRights, decide_write
from stow.gateway.auth import namespace_of
from stow.gateway.headers import WriteConditions
from stow.gateway.ports import Identity
from stow.gateway.problems import Refusal
from stow.storage.clock import utc_now
from stow.storage.driver import Capabilities

CAPABLE = MemoryDriver(clock=utc_now).capabilities
PLAIN = WriteConditions()
ONCE = WriteConditions(if_none_match=True)
MATCH = WriteConditions(if_match="etag")
ANY = WriteConditions(if_match="*")
BOTH, CREATE, UPDATE, NONE = (
    WriteRights(c, u) for c, u in ((True, True), (True, False), (False, True), (False, False))
)
NO_ONCE, NO_MATCH = replace(CAPABLE, create_once=False), replace(CAPABLE, write_if_match=False)

DECISIONS = [
    (BOTH, PLAIN, CAPABLE, PLAIN),
    (BOTH, ONCE, CAPABLE, ONCE),
    (BOTH, MATCH, CAPABLE, MATCH),
    (BOTH, PLAIN, NO_ONCE, PLAIN),
    (CREATE, PLAIN, CAPABLE, ONCE),
    (CREATE, ONCE, CAPABLE, ONCE),
    (CREATE, MATCH, CAPABLE, None),
    (CREATE, ANY, CAPABLE, None),
    (CREATE, PLAIN, NO_ONCE, None),
    (CREATE, PLAIN, NO_MATCH, ONCE),
    (UPDATE, PLAIN, CAPABLE, ANY),
    (UPDATE, ONCE, CAPABLE, None),
    (UPDATE, MATCH, CAPABLE, MATCH),
    (UPDATE, ANY, CAPABLE, ANY),
    (UPDATE, PLAIN, NO_MATCH, None),
    (UPDATE, MATCH, NO_MATCH, None),
    (NONE, PLAIN, CAPABLE, None),
    (NONE, ONCE, CAPABLE, None),
]


@pytest.mark.parametrize(("rights", "asked", "capabilities", "expected"), DECISIONS)
def test_a_write_goes_out_with_the_condition_that_its_rights_allow(
    rights: WriteRights, asked: WriteConditions, capabilities: Capabilities, expected: WriteConditions | None
) -> None:
    if expected is None:
        with pytest.raises(Refusal) as caught:
            decide_write(rights, asked, capabilities)
        assert caught.value.code.status == 403
    else:
        assert decide_write(rights, asked, capabilities) == expected


@pytest.mark.parametrize(
    ("user", "namespace"),
    [
        ("system:serviceaccount:team:app", "team"),
        ("system:serviceaccount:team:app.x", "team"),
        ("system:serviceaccount:team", None),
        ("system:serviceaccount::app", None),
        ("system:serviceaccount:te/am:app", None),
        ("x:system:serviceaccount:team:app", None),
        ("system:serviceaccount:team:app\n", None),
        ("alice", None),
    ],
)
def test_only_a_service_account_has_a_namespace(user: str, namespace: str | None) -> None:
    assert namespace_of(Identity(user)) == namespace


async def call(world: World, verb: Verb, base: str = BASE) -> int:
    key = f"{base}/objects/k"
    match verb:
        case Verb.LIST:
            return (await world.ask("GET", f"{base}/objects")).status
        case Verb.SIGN:
            return (await world.ask("POST", f"{base}/sign", body=b'{"key": "k"}')).status
        case Verb.COPY:
            document = json.dumps({"source": {"key": "k"}, "destination": {"key": "k2"}})
            return (await world.ask("POST", f"{base}/copy", body=document.encode())).status
        case Verb.PUT:
            return (await world.ask("PUT", key, body=b"new")).status
        case _:
            return (await world.ask(verb.value.upper(), key)).status


SUCCESS = {Verb.DELETE: 204}
SUFFICIENT: dict[Verb, list[set[tuple[str, str]]]] = {
    Verb.GET: [{("get", "objects")}],
    Verb.HEAD: [{("get", "objects")}],
    Verb.LIST: [{("list", "objects")}],
    Verb.DELETE: [{("delete", "objects")}],
    Verb.PUT: [{("create", "objects"), ("update", "objects")}, {("update", "objects")}],
    Verb.SIGN: [{("create", "sign"), ("get", "objects")}],
    Verb.COPY: [{("get", "objects"), ("create", "objects")}],
}


@pytest.mark.parametrize("verb", list(Verb))
async def test_the_rights_of_a_verb_are_enough_and_each_of_them_is_needed(served: World, verb: Verb) -> None:
    await served.ask("PUT", f"{BASE}/objects/k", body=b"old")
    for rights in SUFFICIENT[verb]:
        served.access.granted = set(rights)
        served.clock.forward(120)
        assert await call(served, verb) in {200, 201, 204}
        if len(rights) > 1 and verb is not Verb.PUT:
            for missing in rights:
                served.access.granted = set(ALL_RIGHTS) - {missing}
                if missing == ("create", "objects"):
                    served.access.granted -= {("update", "objects")}
                served.clock.forward(120)
                assert await call(served, verb) == 403, (verb, missing)
    needed = set.union(*SUFFICIENT[verb])
    served.access.granted = set(ALL_RIGHTS) - needed
    served.clock.forward(120)
    assert await call(served, verb) == 403


@pytest.mark.parametrize("verb", list(Verb))
@pytest.mark.parametrize("exists", [True, False])
async def test_without_rights_it_is_403_whether_the_container_exists_or_not(
    served: World, verb: Verb, exists: bool
) -> None:
    served.access.granted = set()
    base = BASE if exists else "/v1/namespaces/team/containers/nothing"
    assert await call(served, verb, base) == 403
    assert served.memory.reads == []


@pytest.mark.parametrize("verb", list(Verb))
async def test_with_rights_a_container_that_does_not_exist_is_404(served: World, verb: Verb) -> None:
    assert await call(served, verb, "/v1/namespaces/team/containers/nothing") == 404


async def test_create_alone_creates_and_never_replaces(served: World) -> None:
    served.access.granted = {("create", "objects")}
    assert (await served.ask("PUT", f"{BASE}/objects/k", body=b"one")).status == 201
    for headers in ([], ["Expect: 100-continue"]):
        got = await served.ask("PUT", f"{BASE}/objects/k", *headers, body=b"two")
        assert got.status == 412
        assert "you may only create" in got.json["detail"]
    asked = await served.ask("PUT", f"{BASE}/objects/k", "If-None-Match: *", body=b"two")
    assert asked.status == 412
    assert "you may" not in asked.json["detail"]
    assert (await served.ask("PUT", f"{BASE}/objects/k", "If-Match: *", body=b"two")).status == 403
    assert served.bytes_of("k") == b"one"


async def test_update_alone_replaces_and_never_creates(served: World) -> None:
    await served.ask("PUT", f"{BASE}/objects/k", body=b"one")
    served.access.granted = {("update", "objects")}
    served.clock.forward(120)
    got = await served.ask("PUT", f"{BASE}/objects/new", body=b"x")
    assert got.status == 412
    assert "you may only replace" in got.json["detail"]
    assert (await served.ask("PUT", f"{BASE}/objects/k", body=b"two")).status == 200
    assert (await served.ask("PUT", f"{BASE}/objects/k", "If-None-Match: *", body=b"3")).status == 403
    assert (served.bytes_of("k"), served.bytes_of("new")) == (b"two", None)


@pytest.mark.parametrize(
    ("method", "needed"),
    [
        ("GET", {("get", "objects")}),
        ("HEAD", {("get", "objects")}),
        ("DELETE", {("delete", "objects")}),
        ("PUT", {("create", "objects"), ("update", "objects")}),
    ],
)
async def test_signing_needs_the_right_to_sign_and_what_the_method_needs(
    served: World, method: str, needed: set[tuple[str, str]]
) -> None:
    body = json.dumps({"key": "k", "method": method}).encode()
    full = needed | {("create", "sign")}
    served.access.granted = set(full)
    assert (await served.ask("POST", f"{BASE}/sign", body=body)).status == 200
    for missing in full:
        served.access.granted = set(ALL_RIGHTS) - {missing}
        served.clock.forward(120)
        assert (await served.ask("POST", f"{BASE}/sign", body=body)).status == 403, missing


async def test_a_copy_needs_get_at_the_source_and_a_write_right_here(served: World) -> None:
    await served.container("archive")
    await served.ask("PUT", f"{BASE}/objects/k", body=b"data")
    body = json.dumps(
        {"source": {"container": "reports", "namespace": "team", "key": "k"}, "destination": {"key": "c"}}
    )
    target = "/v1/namespaces/team/containers/archive/copy"
    served.access.granted = {("get", "objects"), ("create", "objects")}
    served.clock.forward(120)
    assert (await served.ask("POST", target, body=body.encode())).status == 200
    assert served.bytes_of("c", "archive-bucket") == b"data"
    served.access.refused_at = {("stowcontainers", "team", "reports")}
    served.clock.forward(120)
    assert (await served.ask("POST", target, body=body.encode())).status == 403


async def test_the_review_asks_about_the_resource_that_the_route_names(served: World) -> None:
    served.location("shared", namespace=None, spec={"allowedNamespaces": {"names": ["team"]}})
    await served.ask("GET", f"{BASE}/objects/k")
    await served.ask("GET", "/v1/namespaces/other/locations/main/containers/bucket/objects/k")
    await served.ask("GET", "/v1/clusterlocations/shared/containers/bucket/objects/k")
    assert served.access.asked == [
        (ALICE.user, "get", "stowcontainers", "objects", "team", "reports"),
        (ALICE.user, "get", "stowlocations", "objects", "other", "main"),
        (ALICE.user, "get", "clusterstowlocations", "objects", "team", "shared"),
    ]


async def test_a_cluster_location_is_closed_to_users_without_a_namespace(served: World) -> None:
    served.location("shared", namespace=None, spec={"allowedNamespaces": {"names": ["team"]}})
    served.tokens.known["human"] = Identity("jane")
    got = await served.ask("GET", "/v1/clusterlocations/shared/containers/bucket/objects", token="human")
    assert (got.status, got.code) == (403, "forbidden")
    assert "ServiceAccount" in got.json["detail"]


async def test_a_copy_with_create_alone_says_why_it_does_not_replace(served: World) -> None:
    for key in ("k", "c"):
        await served.ask("PUT", f"{BASE}/objects/{key}", body=b"data")
    served.access.granted = {("get", "objects"), ("create", "objects")}
    served.clock.forward(120)
    got = await served.ask("POST", f"{BASE}/copy", body=b'{"source": {"key": "k"}, "destination": {"key": "c"}}')
    assert got.status == 412
    assert "you may only create" in got.json["detail"]


NOTHING = "/v1/namespaces/team/containers/nothing"
SECOND_RIGHTS = [
    ("sign", {"key": "k", "method": "PUT"}, {("create", "sign"), ("create", "objects")}),
    ("sign", {"key": "k"}, {("create", "sign")}),
    ("copy", {"source": {"key": "k"}, "destination": {"key": "c"}}, {("create", "objects"), ("update", "objects")}),
    ("copy", {"source": {"key": "k"}, "destination": {"key": "c"}}, {("get", "objects")}),
]


@pytest.mark.parametrize("base", [BASE, NOTHING], ids=["exists", "absent"])
@pytest.mark.parametrize(("action", "document", "granted"), SECOND_RIGHTS)
async def test_a_missing_second_right_is_403_before_anything_is_looked_up(
    served: World, action: str, document: dict[str, object], granted: set[tuple[str, str]], base: str
) -> None:
    served.access.granted = set(granted)
    got = await served.ask("POST", f"{base}/{action}", body=json.dumps(document).encode())
    assert (got.status, got.code) == (403, "forbidden")
    assert served.memory.reads == []
