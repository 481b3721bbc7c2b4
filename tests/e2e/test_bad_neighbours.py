"""Custom resources whose backend never answers: they wait, and nobody waits for them."""

from __future__ import annotations

import asyncio

from e2e.cluster import ALL_OBJECTS, is_ready
from e2e.installation import Installation, s3_spec
from e2e.stub_s3 import Stall, stub_s3
from e2e.web import container_path

HANGING = 60
BAD = 20
"""More than twice the operator's workers."""


async def test_twenty_hanging_locations_do_not_hold_up_a_good_one(installation: Installation) -> None:
    """Their endpoint takes connections and never answers. The good one is Ready before the first of them has come to its deadline."""
    cluster = installation.cluster
    bad_team, good_team = await cluster.namespace("bad"), await cluster.namespace("good")
    await cluster.secret(bad_team, "keys", {"AWS_ACCESS_KEY_ID": "stub", "AWS_SECRET_ACCESS_KEY": "stub"})
    held: list[asyncio.StreamWriter] = []
    all_held = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)
        all_held.set()
        try:
            await reader.read(-1)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    try:
        endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        bad = []
        for number in range(BAD):
            spec = s3_spec(endpoint, "keys", region="us-east-1")
            bad.append(await cluster.create("StowLocation", bad_team, f"bad-{number}", spec))
        containers = [await installation.container(bad_team, f"c-{n}", location=f"bad-{n}") for n in range(BAD)]
        async with asyncio.timeout(30):
            await all_held.wait()

        await installation.location("minio", good_team)
        good = await installation.container(good_team, "reports")
        await cluster.ready(good)
        for each in bad:
            found = await cluster.get(each)
            assert not (found or {}).get("status", {}).get("conditions"), (
                f"{each} came to its deadline before the good one"
            )

        token = await cluster.workload(good_team, "app", ALL_OBJECTS)
        path = f"{container_path(good_team, 'reports')}/objects/k"
        assert (await installation.web.ask("PUT", path, token=token, body=b"x")).status == 200
        later = await installation.container(good_team, "later")
        await cluster.ready(later)
        assert not any([is_ready(await cluster.get(each)) for each in containers])
    finally:
        for writer in held:
            writer.transport.abort()
        server.close()


async def test_requests_that_hang_at_one_backend_slow_no_others(installation: Installation) -> None:
    """Sixty reads that a backend never answers; another location's objects come as ever, and readiness too."""
    cluster, web = installation.cluster, installation.web
    bad_team, good_team = await cluster.namespace("bad"), await cluster.namespace("good")
    async with stub_s3() as stub:
        await cluster.secret(bad_team, "keys", {"AWS_ACCESS_KEY_ID": "stub", "AWS_SECRET_ACCESS_KEY": "stub"})
        location = await cluster.create("StowLocation", bad_team, "main", s3_spec(stub.endpoint, "keys"))
        hanging = await installation.container(bad_team, "hangs")
        await cluster.ready(hanging)
        await installation.location("minio", good_team)
        await cluster.ready(await installation.container(good_team, "reports"))
        unlucky = await cluster.workload(bad_team, "app", ALL_OBJECTS)
        token = await cluster.workload(good_team, "app", ALL_OBJECTS)
        path = f"{container_path(good_team, 'reports')}/objects/k"
        assert (await web.ask("PUT", path, token=token, body=b"x")).status == 200

        stub.stall = Stall("GET", "/k")
        begun = len(stub.seen)
        reads = [
            asyncio.create_task(web.ask("GET", f"{container_path(bad_team, 'hangs')}/objects/k", token=unlucky))
            for _ in range(HANGING)
        ]
        async with asyncio.timeout(20):
            while len(stub.seen) - begun < HANGING:
                await stub.saw("GET", "/k", since=len(stub.seen))
        for _ in range(20):
            async with asyncio.timeout(5):
                assert (await web.ask("GET", path, token=token)).body == b"x"
                assert (await web.ask("GET", "/readyz")).status == 200
        assert not any(task.done() for task in reads)
        for task in reads:
            task.cancel()
        await asyncio.gather(*reads, return_exceptions=True)
        stub.stall = None
        await cluster.delete(hanging)
        await cluster.gone(hanging)
        await cluster.delete(location)
