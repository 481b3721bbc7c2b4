"""Finds the gateway and a token, so that a verb works without options inside a pod and beside ``stow dev``.

Server: ``--server``, ``STOW_SERVER``, inside a cluster the Service ``stow-gateway.stow-system``, elsewhere the ConfigMap
``kube-public/stow-gateway`` through the KUBECONFIG. Token: ``--token-file``, ``STOW_TOKEN_FILE``, the projected one at its usual path,
then - outside a cluster - a TokenRequest for ``--service-account`` through the KUBECONFIG.
"""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from stow.cli.client import Connection
from stow.cli.exits import CommandError, Exit

DISCOVERY: Final = ("kube-public", "stow-gateway")
"""ConfigMap with ``url``: readable by every authenticated user, as kubeadm's cluster-info is."""
AUDIENCE: Final = "stowstore.io"
_MAX_TOKEN_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Options:
    """What the user said; None where nothing was said."""

    server: str | None = None
    token_file: Path | None = None
    namespace: str | None = None
    service_account: str = "default"
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where the process runs: the files that a pod has, and whether it is one."""

    in_cluster: bool
    token_file: Path = Path("/var/run/secrets/stowstore.io/token")
    namespace_file: Path = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
    server: str = "http://stow-gateway.stow-system.svc:8080"


def surroundings() -> Surroundings:
    """This process's own."""
    return Surroundings(in_cluster="KUBERNETES_SERVICE_HOST" in os.environ)


def current_namespace(options: Options, here: Surroundings) -> str:
    """``-n`` or ``STOW_NAMESPACE``, the pod's own, the KUBECONFIG's current context, ``default``."""
    if options.namespace:
        return options.namespace
    if here.namespace_file.is_file():
        return here.namespace_file.read_text(encoding="ascii", errors="replace").strip()
    if here.in_cluster:
        return "default"
    from stow.cli.discovery import kubeconfig_namespace  # late: the Kubernetes client takes most of a second to import

    return kubeconfig_namespace() or "default"


async def connect(options: Options, namespace: str, here: Surroundings) -> Connection:
    """Raises:
    CommandError: no gateway or no token can be found; says what to set.
    """
    server, token = options.server or None, _token_from_file(options, here)
    tls = _tls(options.ca_file)
    if server is None and here.in_cluster:
        server = here.server
    if server is not None:
        server = checked_server(server)
    if server is None or token is None:
        server, token = await _through_kubeconfig(options, namespace, here, server, token)
    return Connection(server=checked_server(server), token=token, tls=tls)


def checked_server(url: str) -> str:
    """The base URL without a slash at its end.

    Raises:
        CommandError: not an http or https URL of a host; it is not repeated, as it may hold a password.
    """
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0 and "@" not in parts.netloc
        good = good and url.isascii() and url.isprintable() and not (set(url) & set(' ?#"<>\\^`{|}'))
    except ValueError:
        good = False
    if not good:
        raise CommandError(
            "The gateway's address is no URL such as https://objects.example.com; check --server or STOW_SERVER.",
            exit_code=Exit.USAGE,
        )
    return url.rstrip("/")


def _token_from_file(options: Options, here: Surroundings) -> str | None:
    named = options.token_file
    path = named or here.token_file
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_TOKEN_BYTES + 1)
    except (OSError, ValueError) as error:
        if named is None and isinstance(error, FileNotFoundError):
            return None
        reason = error.strerror if isinstance(error, OSError) else "not a file's name"
        raise CommandError(
            f"The token file {path} cannot be read ({reason}); check --token-file or STOW_TOKEN_FILE.",
            exit_code=Exit.USAGE,
        ) from error
    token = raw.decode("latin-1").strip()
    if not token or len(raw) > _MAX_TOKEN_BYTES or not all("!" <= c <= "~" for c in token):
        raise CommandError(
            f"The file {path} does not hold a token: one line of printable characters.", exit_code=Exit.USAGE
        )
    return token


def _tls(ca_file: Path | None) -> ssl.SSLContext | None:
    if ca_file is None:
        return None
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        reason = "it holds no certificate in PEM" if isinstance(error, ssl.SSLError) else getattr(error, "strerror", "")
        raise CommandError(f"The CA file {ca_file} cannot be used: {reason}.", exit_code=Exit.USAGE) from error


async def _through_kubeconfig(
    options: Options, namespace: str, here: Surroundings, server: str | None, token: str | None
) -> tuple[str, str]:
    if here.in_cluster:
        raise CommandError(
            f"This pod has no token for the gateway at {here.token_file}; add a projected volume with a serviceAccountToken "
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
