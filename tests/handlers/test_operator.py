"""The main job on the real API server: from `kubectl apply` to Ready, and what it costs."""

from __future__ import annotations

from pathlib import Path

from operatorworld import Cluster, condition, container, local_location, running_operator
from stow.dev.controlplane import ControlPlane


async def test_a_container_becomes_ready_in_at_most_three_writes(
    cluster: Cluster, control_plane: ControlPlane, local_root: Path
) -> None:
    async with running_operator(control_plane, local_root):
        await cluster.create("StowLocation", "disk", local_location())
        ref = await cluster.create("StowContainer", "reports", container("disk"))
        found = await cluster.ready(ref)
        assert found["status"]["fqn"] == "file://reports"
        assert found["status"]["provisioned"] == "Created"
        assert "intent" not in found["status"]
        assert len(cluster.writes(ref)) <= 3, cluster.writes(ref)
        assert condition(found, "Stalled") is None
        assert condition(found, "Reconciling") is None
