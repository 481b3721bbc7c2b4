"""TokenReviewer and AccessReviewer: against the real API server, and what is made of odd answers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from kubernetes.aio.client import ApiClient

from kubehelp import ServiceAccounts
from stow.errors import InvalidArgumentError, ReviewUnavailableError
from stow.kube.rest import Requests
from stow.kube.reviews import (
    DEFAULT_AUDIENCE,
    KNOWN_API_AUDIENCES,
    AccessReviewer,
    TokenReviewer,
    api_server_audiences,
    check_audience,
    own_token,
)
from stow.kube.tokens import request_token

ISSUER = "https://kubernetes.default.svc.cluster.local"


@dataclass(frozen=True)
class Somebody:
    user: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


async def token_for(accounts: ServiceAccounts, name: str, audience: str = DEFAULT_AUDIENCE) -> str:
    issued = await request_token(
        accounts.request, namespace=accounts.namespace, service_account=name, audience=audience
    )
    return issued.token


async def test_a_token_for_our_audience_says_who_it_is(
    request_as_admin: Requests, accounts: ServiceAccounts, namespace: str
) -> None:
    await accounts.make("app")
    found = await TokenReviewer(request_as_admin, Somebody).review(await token_for(accounts, "app"))
    assert found is not None
    assert found.user == f"system:serviceaccount:{namespace}:app"
    assert f"system:serviceaccounts:{namespace}" in found.groups
    assert found.uid
    assert all(isinstance(values, tuple) for values in found.extra.values())


@pytest.mark.parametrize("audience", [ISSUER, "somebody.else"])
async def test_a_token_for_another_audience_is_nobody(
    request_as_admin: Requests, accounts: ServiceAccounts, audience: str
) -> None:
    await accounts.make("app")
    token = await token_for(accounts, "app", audience)
    assert await TokenReviewer(request_as_admin, Somebody).review(token) is None


async def test_a_token_of_an_account_that_was_deleted_is_nobody(
    request_as_admin: Requests, accounts: ServiceAccounts, namespace: str
) -> None:
    await accounts.make("app")
    token = await token_for(accounts, "app")
    await request_as_admin("DELETE", f"/api/v1/namespaces/{namespace}/serviceaccounts/app")
    assert await TokenReviewer(request_as_admin, Somebody).review(token) is None


@pytest.mark.parametrize("token", ["", "garbage", "a.b.c", "x" * 70_000, "\u00fc\n"])
async def test_what_is_no_token_is_nobody(request_as_admin: Requests, token: str) -> None:
    assert await TokenReviewer(request_as_admin, Somebody).review(token) is None


async def test_an_altered_token_is_nobody(request_as_admin: Requests, accounts: ServiceAccounts) -> None:
    await accounts.make("app")
    head, payload, signature = (await token_for(accounts, "app")).split(".")
    flipped = ("B" if signature[10] == "A" else "A").join((signature[:10], signature[11:]))
    assert await TokenReviewer(request_as_admin, Somebody).review(f"{head}.{payload}.{flipped}") is None


OBJECTS = "stowcontainers/objects"


@pytest.mark.parametrize(
    ("verb", "resource", "name", "expected"),
    [
        ("get", "stowcontainers", "photos", True),
        ("get", "stowcontainers", "films", False),
        ("delete", "stowcontainers", "photos", False),
        ("get", "stowlocations", "photos", False),
    ],
)
async def test_a_role_with_resource_names_governs_each_container(
    request_as_admin: Requests, accounts: ServiceAccounts, verb: str, resource: str, name: str, expected: bool
) -> None:
    await accounts.make("app")
    rule = {"apiGroups": ["stowstore.io"], "resources": [OBJECTS], "verbs": ["get"], "resourceNames": ["photos"]}
    await accounts.allow("app", [rule])
    somebody = await TokenReviewer(request_as_admin, Somebody).review(await token_for(accounts, "app"))
    assert somebody is not None
    allowed = await AccessReviewer(request_as_admin).allowed(
        somebody, verb=verb, resource=resource, subresource="objects", namespace=accounts.namespace, name=name
    )
    assert allowed is expected


async def test_a_right_in_one_namespace_says_nothing_about_another_or_the_cluster(
    request_as_admin: Requests, accounts: ServiceAccounts
) -> None:
    await accounts.make("app")
    await accounts.allow("app", [{"apiGroups": ["stowstore.io"], "resources": [OBJECTS], "verbs": ["*"]}])
    somebody = Somebody(f"system:serviceaccount:{accounts.namespace}:app")
    reviewer = AccessReviewer(request_as_admin)
    answers = [
        await reviewer.allowed(
            somebody, verb="get", resource="stowcontainers", subresource="objects", namespace=where, name="photos"
        )
        for where in (accounts.namespace, "default", "")
    ]
    assert answers == [True, False, False]


async def test_groups_of_the_token_count(request_as_admin: Requests, accounts: ServiceAccounts) -> None:
    base = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{accounts.namespace}"
    rule = {"apiGroups": ["stowstore.io"], "resources": ["stowcontainers/sign"], "verbs": ["create"]}
    await request_as_admin("POST", f"{base}/roles", body={"metadata": {"name": "team"}, "rules": [rule]})
    binding = {
        "metadata": {"name": "team"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "team"},
        "subjects": [{"kind": "Group", "name": "painters", "apiGroup": "rbac.authorization.k8s.io"}],
    }
    await request_as_admin("POST", f"{base}/rolebindings", body=binding)
    reviewer = AccessReviewer(request_as_admin)

    async def allowed(*groups: str) -> bool:
        return await reviewer.allowed(
            Somebody("vera", groups=groups),
            verb="create",
            resource="stowcontainers",
            subresource="sign",
            namespace=accounts.namespace,
            name="photos",
        )

    async with asyncio.timeout(20):
        while not await allowed("painters"):  # the authorizer hears of new bindings by a watch of its own
            pass
    assert not await allowed()


async def test_without_the_right_to_review_nobody_is_believed(
    request_as_admin: Requests, accounts: ServiceAccounts
) -> None:
    await accounts.make("app")
    ours = await token_for(accounts, "app")
    weak = accounts.connected(await token_for(accounts, "app", ISSUER))
    with pytest.raises(ReviewUnavailableError) as raised:
        await TokenReviewer(weak, Somebody).review(ours)
    assert raised.value.status == 403
    assert ours not in str(raised.value)
    with pytest.raises(ReviewUnavailableError):
        await AccessReviewer(weak).allowed(
            Somebody("vera"), verb="get", resource="stowcontainers", subresource="objects", namespace="x", name="y"
        )


async def test_the_api_server_s_own_audience_is_found_by_a_token_and_by_its_issuer(
    request_as_admin: Requests, accounts: ServiceAccounts
) -> None:
    await accounts.make("app")
    token = await token_for(accounts, "app", ISSUER)
    assert ISSUER in await api_server_audiences(request_as_admin, own_token=token)
    found = await api_server_audiences(request_as_admin, own_token=None)
    assert ISSUER in found
    with pytest.raises(InvalidArgumentError, match="audience"):
        check_audience(ISSUER, found)
    check_audience(DEFAULT_AUDIENCE, found)


async def test_the_token_of_a_connection_is_its_own(api: ApiClient, accounts: ServiceAccounts) -> None:
    assert own_token(api) is None  # the administrator has a certificate
    assert own_token(accounts.connect("some-token")) == "some-token"


@pytest.mark.parametrize("audience", ["", *sorted(KNOWN_API_AUDIENCES)])
def test_audiences_that_api_servers_have_by_default_are_always_refused(audience: str) -> None:
    with pytest.raises(InvalidArgumentError):
        check_audience(audience, KNOWN_API_AUDIENCES)


GOOD: dict[str, Any] = {"authenticated": True, "audiences": [DEFAULT_AUDIENCE], "user": {"username": "vera"}}


@pytest.mark.parametrize(
    "status",
    [
        None,
        {},
        GOOD | {"authenticated": False},
        GOOD | {"authenticated": "true"},
        GOOD | {"audiences": []},
        GOOD | {"audiences": None},
        GOOD | {"audiences": DEFAULT_AUDIENCE},
        {"authenticated": True, "user": {"username": "vera"}},
        GOOD | {"user": None},
        GOOD | {"user": {"username": ""}},
        GOOD | {"user": {"username": 7}},
    ],
)
async def test_only_a_clear_yes_for_our_audience_is_a_yes(status: Any) -> None:
    assert await TokenReviewer(answering(status), Somebody).review("token") is None


async def test_a_clear_yes_is_a_yes() -> None:
    assert await TokenReviewer(answering(GOOD), Somebody).review("token") == Somebody("vera")


@pytest.mark.parametrize(
    "status",
    [None, {}, {"allowed": "true"}, {"allowed": 1}, {"allowed": True, "denied": True}, {"evaluationError": "x"}],
)
async def test_only_a_clear_right_is_a_right(status: Any) -> None:
    reviewer = AccessReviewer(answering(status))
    assert not await reviewer.allowed(
        Somebody("vera"), verb="get", resource="stowcontainers", subresource="objects", namespace="x", name="y"
    )


def answering(status: Any) -> Requests:
    async def request(
        method: str, path: str, *, query: Sequence[tuple[str, str]] = (), body: object = None
    ) -> dict[str, Any]:
        return {"status": status}

    return request
