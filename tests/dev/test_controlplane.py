"""The control plane that `stow dev` and the tests share, seen through kubectl and the API."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from kubernetes.aio import client

from dev.pids import descendants
from stow.dev import audit
from stow.dev.assets import Assets
from stow.dev.controlplane import ISSUER, ControlPlane
from stow.dev.failures import ProcessFailedError
from stow.dev.runfolder import RunFolder

DEADLINE_S = 60.0
AUDIENCE = "stowstore.io"
KubeClientFactory = Callable[[], "contextlib.AbstractAsyncContextManager[client.ApiClient]"]


@pytest.fixture
def kubectl(assets: Assets, control_plane: ControlPlane) -> Callable[..., str]:
    """Runs kubectl with the administrator's KUBECONFIG; it must end with 0."""
    program = assets.find("kubectl")

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [str(program), "--kubeconfig", str(control_plane.kubeconfig_path), *arguments],
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_kubectl_reads_namespaces_with_the_kubeconfig(kubectl: Callable[..., str]) -> None:
    assert "namespace/kube-system" in kubectl("get", "namespaces", "--output=name").split()


def test_the_version_is_the_pinned_one(kubectl: Callable[..., str]) -> None:
    assert '"gitVersion": "v1.34.' in kubectl("get", "--raw=/version")


def test_the_default_service_account_is_there_once_it_has_started(kubectl: Callable[..., str]) -> None:
    assert (
        kubectl("get", "serviceaccount", "default", "--namespace=default", "--output=name")
        == "serviceaccount/default\n"
    )


def test_namespaces_end(kubectl: Callable[..., str], unique_name: Callable[[str], str]) -> None:
    name = unique_name("ending")
    kubectl("create", "namespace", name)
    kubectl("create", "configmap", "inside", f"--namespace={name}")

    kubectl("delete", "namespace", name, "--wait=true", f"--timeout={DEADLINE_S:.0f}s")

    assert kubectl("get", "namespace", name, "--ignore-not-found") == ""


async def test_dependants_are_garbage_collected(
    kube_admin: KubeClientFactory, namespace: str, kubectl: Callable[..., str]
) -> None:
    async with kube_admin() as api:
        core = client.CoreV1Api(api)
        owner = await core.create_namespaced_config_map(namespace, {"metadata": {"name": "owner"}})
        reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.metadata.uid}
        await core.create_namespaced_config_map(
            namespace, {"metadata": {"name": "dependant", "ownerReferences": [reference]}}
        )
        await core.delete_namespaced_config_map("owner", namespace)

    await asyncio.to_thread(
        kubectl, "wait", "--for=delete", "configmap/dependant", f"--namespace={namespace}", "--timeout=60s"
    )


async def test_roles_are_aggregated(
    kube_admin: KubeClientFactory, unique_name: Callable[[str], str], kubectl: Callable[..., str]
) -> None:
    name = unique_name("aggregate")
    role = {
        "metadata": {"name": name, "labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}},
        "rules": [{"apiGroups": ["stowstore.io"], "resources": [name], "verbs": ["get"]}],
    }
    async with kube_admin() as api:
        await client.RbacAuthorizationV1Api(api).create_cluster_role(role)

    jsonpath = f'{{.rules[?(@.resources[0]=="{name}")].verbs[0]}}'
    await asyncio.to_thread(kubectl, "wait", "clusterrole/view", f"--for=jsonpath={jsonpath}=get", "--timeout=60s")


async def issue_token(api: client.ApiClient, namespace: str, audience: str) -> str:
    request = {"spec": {"audiences": [audience], "expirationSeconds": 600}}
    answer = await client.CoreV1Api(api).create_namespaced_service_account_token("default", namespace, request)
    return str(answer.status.token)


async def wait_default_account(kubectl: Callable[..., str], namespace: str) -> None:
    await asyncio.to_thread(
        kubectl, "wait", "--for=create", "serviceaccount/default", f"--namespace={namespace}", "--timeout=60s"
    )


async def test_a_token_for_our_audience_is_reviewed_as_its_account(
    kube_admin: KubeClientFactory, namespace: str, kubectl: Callable[..., str]
) -> None:
    await wait_default_account(kubectl, namespace)
    async with kube_admin() as api:
        token = await issue_token(api, namespace, AUDIENCE)
        review = await client.AuthenticationV1Api(api).create_token_review(
            {"spec": {"token": token, "audiences": [AUDIENCE]}}
        )

    assert review.status.authenticated
    assert review.status.audiences == [AUDIENCE]
    assert review.status.user.username == f"system:serviceaccount:{namespace}:default"


@pytest.mark.parametrize(("issued", "asked"), [(ISSUER, AUDIENCE), (AUDIENCE, "other.example")])
async def test_a_token_for_another_audience_is_not_authenticated(
    kube_admin: KubeClientFactory, namespace: str, kubectl: Callable[..., str], issued: str, asked: str
) -> None:
    await wait_default_account(kubectl, namespace)
    async with kube_admin() as api:
        token = await issue_token(api, namespace, issued)
        review = await client.AuthenticationV1Api(api).create_token_review(
            {"spec": {"token": token, "audiences": [asked]}}
        )

    assert not review.status.authenticated


async def test_rbac_refuses_an_account_without_rights(
    kube_admin: KubeClientFactory, namespace: str, kubectl: Callable[..., str], control_plane: ControlPlane
) -> None:
    await wait_default_account(kubectl, namespace)
    async with kube_admin() as api:
        token = await issue_token(api, namespace, ISSUER)
    configuration = client.Configuration(host=control_plane.server_url, api_key={"authorization": f"Bearer {token}"})
    configuration.ssl_ca_cert = str(control_plane.ca_path)
    async with client.ApiClient(configuration) as api:
        with pytest.raises(client.ApiException) as caught:
            await client.CoreV1Api(api).list_namespaced_secret(namespace)

    assert caught.value.status == 403


def test_another_user_gets_a_kubeconfig_and_only_the_rights_that_rbac_gives(
    kubectl: Callable[..., str], control_plane: ControlPlane, unique_name: Callable[[str], str]
) -> None:
    group = unique_name("group")
    path = control_plane.write_client_kubeconfig(unique_name("jane"), user="jane", groups=[group])
    kubectl("create", "clusterrolebinding", group, "--clusterrole=view", f"--group={group}")

    who = kubectl("auth", "whoami", "--output=jsonpath={.status.userInfo.username}", f"--kubeconfig={path}")
    rights = kubectl("auth", "can-i", "--list", "--no-headers", f"--kubeconfig={path}")

    assert who == "jane"
    assert any(line.startswith("configmaps ") for line in rights.splitlines())
    assert not any(line.startswith(("secrets ", "*.* ")) for line in rights.splitlines())


async def test_a_role_with_resource_names_governs_a_made_up_subresource(
    kube_admin: KubeClientFactory, namespace: str
) -> None:
    """What the object API asks for: get on stowcontainers/objects of one container."""
    user = f"system:serviceaccount:{namespace}:default"
    rule = {
        "apiGroups": ["stowstore.io"],
        "resources": ["stowcontainers/objects"],
        "resourceNames": ["mine"],
        "verbs": ["get"],
    }
    async with kube_admin() as api:
        rbac = client.RbacAuthorizationV1Api(api)
        await rbac.create_namespaced_role(namespace, {"metadata": {"name": "reader"}, "rules": [rule]})
        await rbac.create_namespaced_role_binding(
            namespace,
            {
                "metadata": {"name": "reader"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
                "subjects": [{"kind": "User", "name": user}],
            },
        )

        async def allowed(name: str, verb: str) -> bool:
            attributes = {
                "group": "stowstore.io",
                "resource": "stowcontainers",
                "subresource": "objects",
                "namespace": namespace,
                "name": name,
                "verb": verb,
            }
            review = {"spec": {"user": user, "resourceAttributes": attributes}}
            answer = await client.AuthorizationV1Api(api).create_subject_access_review(review)
            return bool(answer.status.allowed)

        async with asyncio.timeout(DEADLINE_S):
            while not await allowed("mine", "get"):  # noqa: ASYNC110 - the authorizer follows its watch, and tells nobody
                await asyncio.sleep(0.05)
        assert not await allowed("theirs", "get")
        assert not await allowed("mine", "delete")


async def test_writes_are_counted_and_reads_are_not(
    kube_admin: KubeClientFactory, namespace: str, control_plane: ControlPlane, unique_name: Callable[[str], str]
) -> None:
    name = unique_name("counted")
    async with kube_admin() as api:
        core = client.CoreV1Api(api)
        await core.create_namespaced_config_map(namespace, {"metadata": {"name": name}})
        await core.read_namespaced_config_map(name, namespace)
        await core.patch_namespaced_config_map(name, namespace, {"data": {"secret": "canary-4711"}})
        with pytest.raises(client.ApiException):
            await core.create_namespaced_config_map(namespace, {"metadata": {"name": name}})
        await core.delete_namespaced_config_map(name, namespace)

    events = await asyncio.to_thread(control_plane.audit_events)
    written = audit.writes_to(events, "configmaps", namespace=namespace)

    assert [event["verb"] for event in written if event["user"]["username"] == "stow-dev-admin"] == [
        "create",
        "patch",
        "delete",
    ]
    assert audit.writes_to(events, "configmaps", namespace=namespace, user="somebody") == []
    assert "canary-4711" not in control_plane.audit_path.read_text()


async def test_a_restart_keeps_data_and_address_and_tokens(
    kube_admin: KubeClientFactory, namespace: str, control_plane: ControlPlane, kubectl: Callable[..., str]
) -> None:
    await wait_default_account(kubectl, namespace)
    url = control_plane.server_url
    async with kube_admin() as api:
        await client.CoreV1Api(api).create_namespaced_config_map(
            namespace, {"metadata": {"name": "kept"}, "data": {"a": "b"}}
        )
        token = await issue_token(api, namespace, AUDIENCE)

        await asyncio.to_thread(control_plane.restart)

        kept = await client.CoreV1Api(api).read_namespaced_config_map("kept", namespace)
        review = await client.AuthenticationV1Api(api).create_token_review(
            {"spec": {"token": token, "audiences": [AUDIENCE]}}
        )

    assert kept.data == {"a": "b"}
    assert review.status.authenticated
    assert control_plane.server_url == url
    assert control_plane.ended() is None


def test_an_audit_log_without_a_whole_last_line_is_read_up_to_it(tmp_path: Path) -> None:
    (tmp_path / "audit.jsonl").write_text('{"verb": "create"}\n{"verb": "pat')

    assert audit.read_events(tmp_path / "audit.jsonl") == [{"verb": "create"}]
    assert audit.read_events(tmp_path / "absent") == []


def test_a_program_that_does_not_come_up_stops_the_others_and_shows_its_log(assets: Assets, tmp_path: Path) -> None:
    broken = tmp_path / "kube-apiserver"
    broken.write_text("#!/bin/sh\necho 'unknown flag: --of-tomorrow'\nexit 1\n")
    broken.chmod(0o755)
    programs = {**assets.find_all(["etcd", "kube-controller-manager"]), "kube-apiserver": broken}
    with RunFolder(parent=tmp_path) as run:
        plane = ControlPlane(run, programs)
        before = set(descendants(os.getpid()))

        with pytest.raises(
            ProcessFailedError, match=r"kube-apiserver ended with code 1 (.|\n)*unknown flag: --of-tomorrow"
        ):
            plane.start()

        assert set(descendants(os.getpid())) == before
