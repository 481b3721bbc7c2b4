"""Two operators as Pods of one Deployment: one works, the other one takes over, and neither writes what is right already."""

from __future__ import annotations

from e2e.installation import Installation

TAKEOVER_S = 15 + 10
"""The Lease's duration, and a few tries."""


async def test_another_operator_takes_over_from_one_that_was_killed(installation: Installation) -> None:
    cluster = installation.cluster
    await installation.stop(installation.operator)
    first = await installation.start_replica("operator-one")
    second = await installation.start_replica("operator-two", ready=False)
    team = await cluster.namespace()
    location = await installation.location("minio", team)
    container = await installation.container(team, "reports")
    await cluster.ready(container)
    await cluster.ready(location)
    assert len(cluster.writes(container)) == 3, "both have written"
    assert b"container-created" in installation.logs["operator-one"]
    assert b"container-created" not in installation.logs["operator-two"]

    await installation.kill(first)
    late = await installation.container(team, "late")
    await cluster.ready(late, within_s=TAKEOVER_S)
    assert b"container-created" in installation.logs["operator-two"]
    assert len(cluster.writes(container)) == 3, "the second one wrote what was right already"

    # One that ends in good order gives the Lease back: the next need not wait for it to run out.
    await installation.stop(second)
    third = await installation.start_replica("operator-three")
    after = await installation.container(team, "after")
    await cluster.ready(after)
    await installation.stop(third)
    await installation.start_operator()
