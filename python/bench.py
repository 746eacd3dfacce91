"""The cost of Python: import, a verification beside the command's, and 10,000 patches beside the Rust
benchmark and beside a loop in TransformerLens. Figures are processor seconds of all threads, so that other
work on the machine disturbs them little, and are taken in alternation; read the ratios. What a call of verify
costs beyond the library's own work is too little for that: it is the seconds of the call less those of the
phases of its run.json.

    python bench.py CLI BENCH [TRANSFORMER_LENS_PYTHON]

CLI is the binary `circuitcheck`, BENCH that of `cargo bench --bench engine --no-run`.
"""

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 5
PAIRS = 10_000
MODEL = Path(__file__).resolve().parents[1] / "models" / "w126_add_d5_l2_h3_t15K_s372001"

# Prints the seconds of the call, of which run.json has those that the library spent, phase by phase.
VERIFY = """
import time
import circuitcheck as cc
model = cc.load({model!r})
begun = time.perf_counter()
run = model.verify()
print(time.perf_counter() - begun)
run.save({out!r})
"""

# The same distribution of pairs and the same node as in benches/engine.rs.
PATCH = """
import random, time
import circuitcheck as cc
model = cc.load()
random.seed(1)
number = lambda: f"{{random.randrange(10**5):05}}"
questions = [f"{{number()}}+{{number()}}" for _ in range(2 * {pairs})]
sources, bases = questions[:{pairs}], questions[{pairs}:]
taken = []
for _ in range({samples}):
    begun = time.process_time()
    logits = model.patch(sources, bases, ["P12L0H3"]).logits
    taken.append(time.process_time() - begun)
assert logits.shape == ({pairs}, 7, 15)
print(sorted(taken)[len(taken) // 2])
"""

LENS = """
import random, time, warnings
warnings.filterwarnings("ignore")
import torch, circuitcheck as cc
from transformer_lens import HookedTransformer, HookedTransformerConfig
model = cc.load()
shape = {{name: model.shape[name] for name in ["d_model", "n_layers", "n_ctx", "n_heads", "d_head", "d_mlp"]}}
config = HookedTransformerConfig(**shape, d_vocab=15, act_fn="relu", normalization_type="LN", device="cpu")
network = HookedTransformer(config)
network.load_state_dict({{k: torch.from_numpy(v) for k, v in model.state_dict().items()}}, strict=False)
random.seed(1)
def question():
    a, b = random.randrange(10**5), random.randrange(10**5)
    return f"{{a:05}}+{{b:05}}=+{{a + b:06}}"
tokens = torch.tensor([["0123456789+-=".index(c) for c in question()] for _ in range(2 * {pairs})])
sources, bases = tokens[:{pairs}], tokens[{pairs}:]
position, head, hook = 12, 3, "blocks.0.attn.hook_z"
def patched(batch):
    with torch.no_grad():
        stored = {{}}
        def keep(z, hook): stored["z"] = z[:, position, head].clone()
        def put(z, hook):
            z[:, position, head] = stored["z"]
            return z
        network.run_with_hooks(sources[batch], fwd_hooks=[(hook, keep)], stop_at_layer=1)
        clean = network(bases[batch])
        return clean, network.run_with_hooks(bases[batch], fwd_hooks=[(hook, put)])
taken = []
for _ in range({samples}):
    begun = time.process_time()
    for start in range(0, {pairs}, 500):
        patched(slice(start, start + 500))
    taken.append(time.process_time() - begun)
print(sorted(taken)[len(taken) // 2])
"""


def spent(words: list[str]) -> tuple[float, str]:
    """The processor seconds of a process, and what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(words, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in (0, 1, 3):
        sys.exit(done.stderr)
    seconds = sum(getattr(after, key) - getattr(before, key) for key in ("ru_utime", "ru_stime"))
    return seconds, done.stdout


def verified(out: str) -> dict[str, float]:
    """A verification from Python: processor seconds of the process, and of the call the seconds that it took,
    and those of them that the library did not spend."""
    script = VERIFY.format(model=str(MODEL), out=out)
    processor_seconds, printed = spent([sys.executable, "-c", script])
    call = float(printed)
    phases = json.loads(Path(out, "run.json").read_text())["phases"]
    beyond = call - sum(phase["seconds"] for phase in phases)
    return {"verify_python": processor_seconds, "verify_call": call, "verify_call_beyond": beyond}


def rust_patches(bench: str) -> float:
    """Processor seconds of one sample of the Rust benchmark: of many less those of few, so that what is done
    once does not count."""
    few, many = 3, 13
    line = [bench, "--bench", "patch_pairs", "--sample-count"]
    return (spent([*line, str(many)])[0] - spent([*line, str(few)])[0]) / (many - few)


def main() -> None:
    cli, bench, *lens = sys.argv[1:]
    figures: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as out:
        for _ in range(ROUNDS):
            took = {
                "empty": spent([sys.executable, "-c", "pass"])[0],
                "import": spent([sys.executable, "-c", "import circuitcheck"])[0],
                "verify_command": spent([cli, "verify", str(MODEL), "--out", f"{out}/a", "-q"])[0],
                **verified(f"{out}/b"),
                "patch_rust": rust_patches(bench),
                "patch_python": float(spent([sys.executable, "-c", PATCH.format(pairs=PAIRS, samples=5)])[1]),
            }
            if lens:
                took["patch_lens"] = float(spent([lens[0], "-c", LENS.format(pairs=PAIRS, samples=2)])[1])
            for name, seconds in took.items():
                figures.setdefault(name, []).append(seconds)
        same = Path(out, "a/evidence.json").read_bytes() == Path(out, "b/evidence.json").read_bytes()
    median = {name: statistics.median(seconds) for name, seconds in figures.items()}
    print(json.dumps({
        "processor": platform.processor() or processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "same_evidence": same,
        "import_seconds": median["import"] - median["empty"],
        "verify_overhead_of_call": median["verify_call_beyond"] / median["verify_call"],
        "verify_python_over_command": median["verify_python"] / median["verify_command"],
        "patch_python_over_rust": median["patch_python"] / median["patch_rust"],
        "patch_lens_over_python": median["patch_lens"] / median["patch_python"] if lens else None,
        "seconds": figures,
    }, indent=2))  # fmt: skip


def processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "")


if __name__ == "__main__":
    main()
