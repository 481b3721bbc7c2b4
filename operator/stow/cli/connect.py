"""Finds the gateway and a token, so that a verb works without options inside a pod and beside ``stow dev``.

Server: ``--server``, ``STOW_SERVER``, the ConfigMap ``kube-public/stow-gateway`` through the KUBECONFIG, inside a cluster the Service
``stow-gateway.stow-system``. Token: ``--token-file``, ``STOW_TOKEN_FILE``, the projected one at its usual path, then - outside a cluster -
a TokenRequest for ``--service-account`` through the KUBECONFIG.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stow.cli.client import Connection
from stow.cli.exits import CommandError, Exit

PROJECTED_TOKEN: Final = Path("/var/run/secrets/stowstore.io/token")
POD_NAMESPACE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
IN_CLUSTER_SERVER: Final = "http://stow-gateway.stow-system.svc:8080"
DISCOVERY: Final = ("kube-public", "stow-gateway")
"""ConfigMap with ``url``: readable by every authenticated user, as kubeadm's cluster-info is."""
AUDIENCE: Final = "stowstore.io"


@dataclass(frozen=True, slots=True)
class Options:
    """What the user said; None where nothing was said."""

    server: str | None = None
    token_file: Path | None = None
    namespace: str | None = None
    service_account: str = "default"
    ca_file: str | None = None


def in_cluster() -> bool:
    return "KUBERNETES_SERVICE_HOST" in os.environ


def current_namespace(options: Options) -> str:
    """``-n``, ``STOW_NAMESPACE``, the pod's own, the KUBECONFIG's current context, ``default``."""
    said = options.namespace or os.environ.get("STOW_NAMESPACE")
    if said:
        return said
    if POD_NAMESPACE.is_file():
        return POD_NAMESPACE.read_text().strip()
    if in_cluster():
        return "default"
    from stow.cli.discovery import kubeconfig_namespace  # late: the Kubernetes client takes most of a second to import

    return kubeconfig_namespace() or "default"


async def connect(options: Options, namespace: str) -> Connection:
    """Raises:
    CommandError: no gateway or no token can be found; says what to set.
    """
    server = options.server or os.environ.get("STOW_SERVER")
    token = _token_from_file(options)
    if server is None and in_cluster():
        server = IN_CLUSTER_SERVER
    if server is None or token is None:
        server, token = await _through_kubeconfig(options, namespace, server, token)
    ca_file = options.ca_file or os.environ.get("STOW_CA_FILE")
    return Connection(server=server, token=token, ca_file=ca_file)


def _token_from_file(options: Options) -> str | None:
    named = options.token_file or (Path(os.environ["STOW_TOKEN_FILE"]) if "STOW_TOKEN_FILE" in os.environ else None)
    path = named or PROJECTED_TOKEN
    try:
        token = path.read_text().strip()
    except OSError as error:
        if named is None:
            return None
        raise CommandError(
            f"The token file {path} cannot be read ({error.strerror}); check --token-file or STOW_TOKEN_FILE.",
            exit_code=Exit.USAGE,
        ) from error
    if not token or not token.isascii() or any(c.isspace() for c in token):
        raise CommandError(f"The file {path} does not hold a token.", exit_code=Exit.USAGE)
    return token


async def _through_kubeconfig(
    options: Options, namespace: str, server: str | None, token: str | None
) -> tuple[str, str]:
    if in_cluster():
        raise CommandError(
            f"This pod has no token for the gateway at {PROJECTED_TOKEN}; add a projected volume with a serviceAccountToken "
            f"of audience {AUDIENCE} (docs/cli.md shows the lines).",
            exit_code=Exit.REFUSED,
        )
    from stow.cli.discovery import server_and_token  # late, as above

    return await server_and_token(
        discovery=DISCOVERY,
        namespace=namespace,
        service_account=options.service_account,
        audience=AUDIENCE,
        server=server,
        token=token,
    )
