"""What the client verbs learn through a KUBECONFIG, outside a cluster: the namespace, the gateway's address, a token."""

from __future__ import annotations

import os
from pathlib import Path

from kubernetes.aio.config import list_kube_config_contexts
from kubernetes.aio.config.config_exception import ConfigException

from stow.cli.exits import CommandError, Exit
from stow.errors import ControlPlaneError, StowError
from stow.kube.client import KubeConfig, connect
from stow.kube.rest import NOT_FOUND, object_path, requests
from stow.kube.tokens import request_token


def kubeconfig_namespace() -> str | None:
    """The namespace of the current context; None where there is no KUBECONFIG or none is said."""
    named = os.environ.get("KUBECONFIG") or "~/.kube/config"
    if not any(Path(each).expanduser().is_file() for each in named.split(os.pathsep)):
        return None  # the client library would say so on standard output
    try:
        _, active = list_kube_config_contexts()  # type: ignore[no-untyped-call]  # untyped there
    except (ConfigException, OSError, TypeError, ValueError):
        return None
    namespace = (active or {}).get("context", {}).get("namespace")
    return str(namespace) if namespace else None


async def server_and_token(
    *,
    discovery: tuple[str, str],
    namespace: str,
    service_account: str,
    audience: str,
    server: str | None,
    token: str | None,
) -> tuple[str, str]:
    """What is missing of the two. ``discovery`` is the (namespace, name) of the ConfigMap with the gateway's ``url``.

    Raises:
        CommandError: says what to set.
    """
    try:
        async with connect(KubeConfig()) as api:
            request = requests(api)
            if server is None:
                found = await request("GET", object_path("ConfigMap", *discovery))
                server = str(found.get("data", {}).get("url", ""))
            if token is None:
                issued = await request_token(
                    request, namespace=namespace, service_account=service_account, audience=audience
                )
                token = issued.token
            return server, token
    except ControlPlaneError as error:
        what = "gateway" if server is None else "token"
        code = Exit.NOT_FOUND if error.status == NOT_FOUND else Exit.UNAVAILABLE
        hint = "set STOW_SERVER or --server" if server is None else "set STOW_TOKEN_FILE or --token-file"
        raise CommandError(f"No {what} is known: {error.message} Or {hint}.", exit_code=code) from error
    except StowError as error:
        raise CommandError(error.message, exit_code=Exit.FAILED, code=error.code) from error
