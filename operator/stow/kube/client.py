"""The connection to the API server: from a kubeconfig file and context, or from inside a Pod.

One client a process. It keeps no cookies, uses no proxy of the environment, never retries: whoever calls has the deadline and decides.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import load_incluster_config, load_kube_config
from kubernetes.aio.config.config_exception import ConfigException
from yaml import YAMLError

from stow.errors import ControlPlaneError

IN_CLUSTER_VARIABLE: Final = "KUBERNETES_SERVICE_HOST"
"""Set in every Pod: https://kubernetes.io/docs/tutorials/services/connect-applications-service/#environment-variables"""


@dataclass(frozen=True, slots=True)
class KubeConfig:
    """Which API server, and as whom. Without a file: the Pod's own ServiceAccount, or outside a cluster what kubectl uses."""

    path: Path | None = None
    context: str | None = None

    @property
    def in_cluster(self) -> bool:
        return self.path is None and self.context is None and IN_CLUSTER_VARIABLE in os.environ


async def load_configuration(config: KubeConfig) -> Configuration:
    """Read it anew, so that rotated tokens and certificates count.

    Raises:
        ControlPlaneError: there is no usable configuration; says where it was looked for.
    """
    configuration = Configuration()
    try:
        if config.in_cluster:
            load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]  # untyped there
        else:
            path = str(config.path) if config.path is not None else None
            await load_kube_config(  # type: ignore[no-untyped-call]  # untyped there
                path, context=config.context, client_configuration=configuration, persist_config=False
            )
    except (ConfigException, YAMLError, OSError, ValueError, TypeError, AttributeError, KeyError) as exc:
        # The last three: the library indexes what it parsed without looking whether it is a mapping.
        where = "the Pod's ServiceAccount" if config.in_cluster else f"the kubeconfig {config.path or 'of KUBECONFIG'}"
        raise ControlPlaneError(
            f"There is no usable connection to an API server in {where}; pass --kubeconfig and --context, or mount a token."
        ) from exc
    configuration.client_session_kwargs = {"trust_env": False}
    return configuration


@asynccontextmanager
async def connect(config: KubeConfig) -> AsyncIterator[ApiClient]:
    """An API client until the end of the block. Nothing is sent yet.

    Raises:
        ControlPlaneError: as :func:`load_configuration`.
    """
    async with ApiClient(await load_configuration(config)) as api:
        yield api
