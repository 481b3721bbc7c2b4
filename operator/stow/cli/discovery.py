"""What the client verbs learn through a KUBECONFIG, outside a cluster: the namespace, the gateway's address, a token."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from kubernetes.aio.config import list_kube_config_contexts
from kubernetes.aio.config.config_exception import ConfigException
from yaml import YAMLError

from stow.cli.exits import CommandError, Exit
from stow.errors import ControlPlaneError, InvalidArgumentError
from stow.kube.client import KubeConfig, connect
from stow.kube.rest import NOT_FOUND, object_path, requests
from stow.kube.tokens import request_token

_REFUSED: Final = frozenset({401, 403})


def kubeconfig_namespace() -> str | None:
    """The namespace of the current context; None where there is no KUBECONFIG or none is said."""
    if not _is_there():
        return None  # the client library would say so on standard output
    try:
        _, active = list_kube_config_contexts()  # type: ignore[no-untyped-call]  # untyped there
    except (ConfigException, YAMLError, OSError, TypeError, ValueError, AttributeError, KeyError):
        return None  # whoever needs more of it than its namespace says what is wrong with it
    namespace = (active or {}).get("context", {}).get("namespace")
    return str(namespace) if namespace else None


def _is_there() -> bool:
    named = os.environ.get("KUBECONFIG") or "~/.kube/config"
    return any(Path(each).expanduser().is_file() for each in named.split(os.pathsep) if each)


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
    what = "gateway" if server is None else "token"
    hint = "Set --server or STOW_SERVER" if server is None else "Set --token-file or STOW_TOKEN_FILE"
    if not _is_there():
        raise CommandError(
            f"No {what} is known: this is no pod, and there is no KUBECONFIG. {hint}.", exit_code=Exit.USAGE
        )
    try:
        async with connect(KubeConfig()) as api:
            request = requests(api)
            if server is None:
                found = await request("GET", object_path("ConfigMap", *discovery))
                server = str((found.get("data") or {}).get("url", ""))
                what, hint = "token", "Set --token-file or STOW_TOKEN_FILE"
            if token is None:
                issued = await request_token(
                    request, namespace=namespace, service_account=service_account, audience=audience
                )
                token = issued.token
            return server, token
    except ControlPlaneError as error:
        missing = error.status == NOT_FOUND and what == "gateway"
        reason = f"there is no ConfigMap {'/'.join(discovery)} that names it." if missing else error.message
        raise CommandError(f"No {what} is known: {reason} {hint}.", exit_code=_exit_code(error)) from error
    except InvalidArgumentError as error:
        raise CommandError(error.message, exit_code=Exit.USAGE, code=error.code) from error


def _exit_code(error: ControlPlaneError) -> Exit:
    """A missing ConfigMap is no missing object: never ``NOT_FOUND``."""
    if error.status == NOT_FOUND:
        return Exit.FAILED
    return Exit.REFUSED if error.status in _REFUSED else Exit.UNAVAILABLE
