"""A Secret that changes: operator and gateway use the new keys within a minute, without a restart and without a request that fails."""

from __future__ import annotations

import asyncio

from e2e.cluster import ALL_OBJECTS
from e2e.installation import Installation, s3_spec
from e2e.stub_s3 import stub_s3
from e2e.web import container_path
from operatorworld import condition
from stow.reconcile.objects import ObjectRef

WITHIN_S = 60.0
PAUSE_S = 0.2
"""Between requests of a client that goes on working."""


async def test_new_keys_come_into_use_and_wrong_ones_leave_the_old_client_at_work(installation: Installation) -> None:
    cluster, web = installation.cluster, installation.web
    team = await cluster.namespace()
    secret = ObjectRef("Secret", team, "keys")

    async def turn_to(access_key: str) -> None:
        await cluster.patch(secret, {"stringData": {"AWS_ACCESS_KEY_ID": access_key}})

    async with stub_s3() as stub:
        await cluster.secret(team, "keys", {"AWS_ACCESS_KEY_ID": "FIRST", "AWS_SECRET_ACCESS_KEY": "stub"})
        location = await cluster.create("StowLocation", team, "main", s3_spec(stub.endpoint, "keys"))
        container = await installation.container(team, "reports")
        await cluster.ready(container)
        token = await cluster.workload(team, "app", ALL_OBJECTS)
        path = f"{container_path(team, 'reports')}/objects/k"

        async def key_of_a_write() -> str:
            answer = await web.ask("PUT", path, token=token, body=b"x")
            assert answer.status == 200, answer
            return stub.key_of_last("PUT", "/k")

        async def written_with(access_key: str) -> None:
            async with asyncio.timeout(WITHIN_S):
                while True:
                    if await key_of_a_write() == access_key:
                        return
                    await asyncio.sleep(PAUSE_S)

        assert await key_of_a_write() == "FIRST"
        await turn_to("SECOND")
        await written_with("SECOND")

        # Nobody asks the gateway while the keys change, and the old ones are revoked: its first request has the new ones.
        await installation.stop(installation.operator)
        await turn_to("THIRD")
        async with asyncio.timeout(WITHIN_S):
            await stub.answered("GET", "/stow-probe-", access_key="THIRD")
        stub.refused.add("SECOND")
        assert (await web.ask("GET", "/readyz")).status == 200
        assert await key_of_a_write() == "THIRD"
        await installation.start_operator()

        stub.refused.add("WRONG")
        await turn_to("WRONG")
        found = await cluster.until(
            location, lambda now: (condition(now, "CredentialsValid") or ("",))[0] == "False", "refused"
        )
        assert condition(found, "Ready") == ("False", "CredentialsInvalid")
        assert await key_of_a_write() == "THIRD"
        await turn_to("FOURTH")
        await cluster.ready(location)
        await written_with("FOURTH")
        await cluster.delete(container)
        await cluster.gone(container)
        await cluster.delete(location)
