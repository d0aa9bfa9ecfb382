"""Stands in for Kubeflow Trainer: runs the command of a TrainJob's runtime in real processes, as its nodes would."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from tests.object_store import free_port

PROJECT = Path(__file__).resolve().parents[3]


class TorchrunController:
    """Runs each TrainJob on this machine.

    Attributes:
        nodes: how many nodes, each a torchrun of its own.
        processes: how many processes a node.
        preempt_at: a line of the leading node's log at which all nodes are killed, once; they are started again, as
            JobSet does. Empty for never.
        restarts: how often a job may fail before it has failed.
        folder: put on the path of the processes, besides the project.
    """

    def __init__(self, folder, nodes=1, processes=1, preempt_at="", restarts=0):
        self.folder, self.nodes, self.processes, self.restarts = folder, nodes, processes, restarts
        self.preempt_at = preempt_at
        self.attempts = 0

    def __call__(self, api, job):
        threading.Thread(target=self._run, args=(api, job), daemon=True).start()

    def _run(self, api, job):
        name = job["metadata"]["name"]
        while True:
            self.attempts += 1
            if self._attempt(api, job):
                api.set_condition(name, "Complete", "JobsCompleted", "jobset completed successfully")
                return
            if self.attempts > self.restarts:
                api.set_condition(name, "Failed", "FailedJobs", "jobset failed due to one or more job failures")
                return

    def _attempt(self, api, job):
        name = job["metadata"]["name"]
        container = self._container(api)
        command = [sys.executable if word == "python" else word for word in container["command"]]
        port = free_port()
        nodes = []
        with tempfile.TemporaryDirectory() as logs:
            for rank in range(self.nodes):
                log = Path(logs) / str(rank)
                nodes.append((self._start(command + job["spec"]["trainer"]["args"], rank, port, log), log))
                api.add_pod(name, rank)
            api.set_ready(name, self.nodes)
            codes = self._await(api, name, nodes)
        for rank, code in enumerate(codes):
            if code:
                api.pods[f"{name}-node-0-{rank}"]["status"]["phase"] = "Failed"
        return not any(codes)

    @staticmethod
    def _container(api):
        runtime = api.objects["trainingruntimes/loopline-torch"]
        [node] = runtime["spec"]["template"]["spec"]["replicatedJobs"]
        [container] = node["template"]["spec"]["template"]["spec"]["containers"]
        return container

    def _start(self, command, rank, port, log):
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(self.folder), str(PROJECT / "src"), str(PROJECT)]),
            "OMP_NUM_THREADS": "1",
            "PET_NNODES": str(self.nodes),
            "PET_NPROC_PER_NODE": str(self.processes),
            "PET_NODE_RANK": str(rank),
            "PET_MASTER_ADDR": "127.0.0.1",
            "PET_MASTER_PORT": str(port),
        }
        with log.open("wb") as output:
            return subprocess.Popen(
                command,
                env=environment,
                cwd=log.parent,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _await(self, api, name, nodes):
        """Exit codes of the nodes; their logs appear in the API as they grow."""
        ended = threading.Event()
        while not ended.wait(0.05):
            for rank, (_, log) in enumerate(nodes):
                api.logs[f"{name}-node-0-{rank}"] = log.read_text()
            if self.preempt_at and self.preempt_at in nodes[0][1].read_text():
                self.preempt_at = ""
                self._kill(nodes)
            codes = [node.poll() for node, _ in nodes]
            if any(codes) or all(code is not None for code in codes):
                self._kill(nodes)
                ended.set()
        for rank, (_, log) in enumerate(nodes):
            api.logs[f"{name}-node-0-{rank}"] = log.read_text()
        return [node.wait() for node, _ in nodes]

    @staticmethod
    def _kill(nodes):
        for node, _ in nodes:
            if node.poll() is None:
                os.killpg(node.pid, signal.SIGKILL)
