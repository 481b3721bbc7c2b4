"""request_token and the reviews, against the real API server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from kubehelp import ServiceAccounts
from stow.errors import ControlPlaneError, InvalidArgumentError
from stow.kube.rest import Requests
from stow.kube.tokens import request_token


async def test_a_token_is_issued_for_the_audience_and_lives_as_long_as_asked(
    request_as_admin: Requests, accounts: ServiceAccounts, namespace: str
) -> None:
    await accounts.make("app")
    issued = await request_token(
        request_as_admin, namespace=namespace, service_account="app", lifetime=timedelta(minutes=20)
    )
    left = issued.expires_at - datetime.now(UTC)
    assert timedelta(minutes=19) < left <= timedelta(minutes=21)
    assert issued.token not in repr(issued)


async def test_an_unknown_service_account_is_named(request_as_admin: Requests, namespace: str) -> None:
    with pytest.raises(InvalidArgumentError, match="no ServiceAccount nobody in the namespace"):
        await request_token(request_as_admin, namespace=namespace, service_account="nobody")


async def test_a_lifetime_that_the_api_server_refuses_is_refused_before(request_as_admin: Requests) -> None:
    with pytest.raises(InvalidArgumentError, match="10 minutes"):
        await request_token(
            request_as_admin, namespace="default", service_account="default", lifetime=timedelta(minutes=9)
        )


async def test_who_may_not_ask_is_told_so_without_names(
    request_as_admin: Requests, accounts: ServiceAccounts, namespace: str
) -> None:
    await accounts.make("app")
    own = await request_token(
        request_as_admin,
        namespace=namespace,
        service_account="app",
        audience="https://kubernetes.default.svc.cluster.local",
    )
    with pytest.raises(ControlPlaneError) as raised:
        await request_token(accounts.connected(own.token), namespace=namespace, service_account="app")
    assert raised.value.status == 403
    assert namespace not in raised.value.message
