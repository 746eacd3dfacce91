"""Runs what is missing of a plan on HyperQueue, one task for each shard.

    python shards.py plan.json [--server-dir DIR] [--local CORES] [--cores-each N]

With --local it starts a server and a worker of its own; otherwise it submits to the server that is
running. Give it again after failures: only what is still missing is submitted. Needs `pip install
hyperqueue`. With HyperQueue's own command line the same is
`hq submit --array "$(circuitcheck shard status --plan plan.json --missing)" circuitcheck shard work --plan plan.json`.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from hyperqueue import Client, Job
from hyperqueue.cluster import LocalCluster, WorkerConfig
from hyperqueue.ffi.protocol import ResourceRequest


def missing_shards(program: str, plan: Path) -> list[int]:
    status = [program, "status", "--plan", str(plan), "--json"]
    return json.loads(subprocess.run(status, check=True, capture_output=True).stdout)["missing"]


def submit(client: Client, program: str, plan: Path, cores: int) -> bool:
    """Whether every shard that was missing is done."""
    job = Job(default_workdir=Path.cwd(), max_fails=None, name="circuitcheck")
    for shard in missing_shards(program, plan):
        work = [program, "work", "--threads", str(cores), "--plan", str(plan), "--index", str(shard)]
        job.program(work, env=dict(os.environ), resources=ResourceRequest(cpus=cores))
    if not job.tasks:
        return True
    return client.wait_for_jobs([client.submit(job)], raise_on_error=False)


def main() -> int:
    parser = argparse.ArgumentParser(description="Runs what is missing of a plan on HyperQueue.")
    parser.add_argument("plan", type=Path)
    parser.add_argument("--server-dir", help="the server's folder, where it is not the usual one")
    parser.add_argument("--local", type=int, metavar="CORES", help="start a server and a worker here")
    parser.add_argument("--cores-each", type=int, default=1, metavar="N", help="cores for each shard")
    arguments = parser.parse_args()
    program = shutil.which("circuitcheck")
    if program is None:
        parser.error("circuitcheck is not on the PATH")
    plan = arguments.plan.resolve()
    if arguments.local:
        with LocalCluster(worker_config=WorkerConfig(cores=arguments.local)) as cluster:
            done = submit(cluster.client(), program, plan, arguments.cores_each)
    else:
        done = submit(Client(arguments.server_dir), program, plan, arguments.cores_each)
    return 0 if done else 1


if __name__ == "__main__":
    sys.exit(main())
