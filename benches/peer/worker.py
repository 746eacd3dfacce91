"""Does one job again and again, once for each line on standard input, and answers each with a line:
seconds, seconds of processor time, and how many units of work were done.

worker.py JOB FOLDER: FOLDER holds what the job is about, as benches/compare.rs writes it, and is
given the answers, so that both sides are seen to have done the same work.
"""

import json
import sys
import time
from pathlib import Path

import numpy
import torch
from safetensors.torch import load_file

import discover
import lens
import train
from network import Network

JOB, FOLDER = sys.argv[1], Path(sys.argv[2])

# Questions or triples put through together, of which the fastest is taken.
BATCHES = [64, 128, 256, 512, 1024, 2048]


def tokens(name, width):
    return torch.frombuffer(bytearray((FOLDER / name).read_bytes()), dtype=torch.uint8).view(-1, width).long()


def fastest(run, count):
    """The batch size with which `run(count, batch)` is fastest."""
    seconds = {}
    for batch in BATCHES:
        for _ in range(2):
            start = time.perf_counter()
            run(count, batch)
            seconds[batch] = time.perf_counter() - start
    return min(seconds, key=seconds.get)


def forward(task, state):
    network, questions = Network(state), tokens("questions", task["n_ctx"])
    run = lambda count, batch: torch.cat(
        [network.logits(questions[i : min(i + batch, count)]) for i in range(0, count, batch)]
    )
    batch = fastest(run, min(len(questions), 2 * max(BATCHES)))
    return lambda: run(len(questions), batch).argmax(-1)


def ablate(task, state):
    model, questions = lens.load(state), tokens("questions", task["n_ctx"])
    means = lens.means(model, questions)
    nodes = [tuple(node) for node in task["nodes"]]

    def run():
        answers = []
        for position, layer, head in nodes:
            mean = means[lens.hook_point(layer, head)]
            value = mean[position] if head < 0 else mean[position, head]
            logits = lens.with_node(model, questions, (position, layer, head), value)
            answers.append(answered(task, logits))
        return torch.cat(answers)

    return run


def patch(task, state, batched):
    model, n_ctx = lens.load(state), task["n_ctx"]
    sources, bases = tokens("sources", n_ctx), tokens("bases", n_ctx)
    nodes = torch.tensor(task["nodes"])
    if batched:
        run = lambda count, batch: lens.patch_in_batches(
            model, sources[:count], bases[:count], nodes[:count], batch
        )
        batch = fastest(run, min(len(sources), max(BATCHES)))
        return lambda: answered(task, run(len(sources), batch))
    triples = [(s, c, tuple(n)) for s, c, n in zip(sources, bases, nodes.tolist())]
    return lambda: answered(task, lens.patch_one_by_one(model, triples))


def answered(task, logits):
    """The predicted answer tokens, [batch, answers]."""
    return logits[:, -task["n_answer"] - 1 : -1].argmax(-1)


def gemm(task, state):
    """The product [1024, d] x [d, 4d] with PyTorch (MKL) and with NumPy (OpenBLAS)."""
    rows, columns = torch.randn(1024, task["d_model"]), torch.randn(task["d_model"], 4 * task["d_model"])
    out = torch.empty(1024, 4 * task["d_model"])
    ways = {
        "PyTorch": lambda: torch.mm(rows, columns, out=out),
        "NumPy": lambda: numpy.matmul(rows.numpy(), columns.numpy(), out=out.numpy()),
    }

    def run():
        seconds = {}
        for name, multiply in ways.items():
            start = time.perf_counter()
            for _ in range(task["repeats"]):
                multiply()
            seconds[name] = (time.perf_counter() - start) / task["repeats"]
        return seconds

    return run


JOBS = {
    "forward": forward,
    "ablate": ablate,
    "patch-one-by-one": lambda task, state: patch(task, state, batched=False),
    "patch-in-batches": lambda task, state: patch(task, state, batched=True),
    "discover": discover.parts,
    "gemm": gemm,
    "train": lambda task, state: train.train(task, state, tokens("questions", task["n_ctx"])),
}


@torch.no_grad()
def main():
    torch.set_num_threads(2)
    task = json.loads((FOLDER / "task.json").read_text())
    if task["weights"].endswith(".safetensors"):
        state = load_file(task["weights"])
    else:
        state = torch.load(task["weights"], map_location="cpu", weights_only=True)
        state = state.get("model", state)
    run = JOBS[JOB](task, state)
    run()
    print("ready", flush=True)
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        result = run()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        if isinstance(result, dict):
            print(json.dumps(result), flush=True)
            continue
        if result is not None:
            (FOLDER / "answers").write_bytes(bytes(result.to(torch.uint8).flatten().tolist()))
        print(json.dumps({"wall": wall, "cpu": cpu}), flush=True)


main()
