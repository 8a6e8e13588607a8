"""A real Ray cluster of several nodes on one machine, for tests and measurements.

    python -m support.ray_cluster NODES CORES    CORES per node; the first node is the head

It prints one line of JSON, {"address", "raylets": process ids}, and ends at the end of its standard
input. On the line "node" it removes the last node without notice to the cluster.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass
class RayCluster:
    """A running cluster; `raylets` are the processes of the nodes that start their workers."""

    address: str
    raylets: list[int]
    _process: subprocess.Popen[str]

    def worker_pids(self, node: int) -> list[int]:
        """Return the processes of a node that run a task of cgt."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                title = (folder / "cmdline").read_bytes()
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue  # it has ended
            if parent == self.raylets[node] and title.startswith(b"ray::run_task"):
                found.append(int(folder.name))
        return found

    def kill_worker(self, node: int) -> bool:
        """Kill a worker with a task on a node; return False if there is none."""
        for pid in self.worker_pids(node)[:1]:
            os.kill(pid, signal.SIGKILL)
            return True
        return False

    def kill_last_node(self) -> bool:
        """Kill the last node and its workers at once, like a power failure.

        Return False if no worker of the node has a task.
        """
        assert self._process.stdin is not None
        pids = self.worker_pids(-1)
        if not pids:
            return False
        for pid in (self.raylets[-1], *pids):
            os.kill(pid, signal.SIGKILL)
        print("node", file=self._process.stdin, flush=True)
        return True


@contextmanager
def start_ray_cluster(nodes: int, cores: int) -> Iterator[RayCluster]:
    """Run a cluster in a process of its own until the end of the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, str(nodes), str(cores)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        cluster_info = json.loads(process.stdout.readline())
        yield RayCluster(cluster_info["address"], cluster_info["raylets"], process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        assert process.stdout is not None
        process.stdout.close()
        process.wait(60)


def _run_cluster(nodes: int, cores: int) -> None:
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    from ray.cluster_utils import Cluster

    logging.disable(logging.ERROR)
    stdout, sys.stdout = sys.stdout, sys.stderr
    # A node counts as dead after two seconds of silence instead of fifteen.
    health = {"health_check_period_ms": 500, "health_check_failure_threshold": 4}
    cluster: Any = Cluster(
        initialize_head=True, head_node_args={"num_cpus": cores, "_system_config": health}
    )
    try:
        others = [cluster.add_node(num_cpus=cores) for _ in range(nodes - 1)]
        raylets = [
            node.all_processes["raylet"][0].process.pid for node in (cluster.head_node, *others)
        ]
        print(json.dumps({"address": cluster.address, "raylets": raylets}), file=stdout, flush=True)
        for line in sys.stdin:
            if line.strip() == "node":
                cluster.remove_node(others.pop(), allow_graceful=False)
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    _run_cluster(int(sys.argv[1]), int(sys.argv[2]))
