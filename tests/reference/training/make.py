"""Trains a small network for 20 batches with PyTorch, as tests/training.rs compares with: start.pth,
batches.json (questions and losses) and end.pth, written beside this file.

The network, the loss and the optimiser are written as the published notebook has them: all positions of
HookedTransformer's forward pass in float32, the loss in float64, AdamW, LinearLR and CosineAnnealingLR in
sequence. Made with PyTorch 2.9.0 on the CPU: python make.py
"""

import json
import math
from pathlib import Path

import torch
from torch.nn.functional import log_softmax

FOLDER = Path(__file__).parent
STEPS, BATCH, DIGITS, LAYERS, HEADS, WIDTH = 20, 64, 2, 2, 4, 12
HEAD, MLP, CONTEXT, VOCABULARY = WIDTH // 3, 4 * WIDTH, 3 * DIGITS + 4, 15
RATE, DECAY, BETAS = 1e-3, 0.1, (0.9, 0.98)


def draw():
    """The state dict before training. Biases are drawn too, so that none is compared at zero."""
    shapes = {"embed.W_E": (VOCABULARY, WIDTH), "pos_embed.W_pos": (CONTEXT, WIDTH)}
    for layer in range(LAYERS):
        block = {
            "ln1.w": (WIDTH,), "ln1.b": (WIDTH,), "ln2.w": (WIDTH,), "ln2.b": (WIDTH,),
            "attn.W_Q": (HEADS, WIDTH, HEAD), "attn.W_K": (HEADS, WIDTH, HEAD), "attn.W_V": (HEADS, WIDTH, HEAD),
            "attn.W_O": (HEADS, HEAD, WIDTH),
            "attn.b_Q": (HEADS, HEAD), "attn.b_K": (HEADS, HEAD), "attn.b_V": (HEADS, HEAD), "attn.b_O": (WIDTH,),
            "mlp.W_in": (WIDTH, MLP), "mlp.b_in": (MLP,), "mlp.W_out": (MLP, WIDTH), "mlp.b_out": (WIDTH,),
        }
        shapes |= {f"blocks.{layer}.{name}": shape for name, shape in block.items()}
    shapes |= {"ln_final.w": (WIDTH,), "ln_final.b": (WIDTH,), "unembed.W_U": (WIDTH, VOCABULARY), "unembed.b_U": (VOCABULARY,)}
    spread = 0.8 / math.sqrt(WIDTH)
    return {name: spread * torch.randn(shape) + (1.0 if name.endswith(".w") else 0.0) for name, shape in shapes.items()}


def norm(x, weight, bias):
    x = x - x.mean(-1, keepdim=True)
    return x / (x.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt() * weight + bias


def forward(state, tokens):
    x = state["embed.W_E"][tokens] + state["pos_embed.W_pos"]
    hidden = torch.ones(CONTEXT, CONTEXT).triu(1).bool()
    for layer in range(LAYERS):
        part = lambda name: state[f"blocks.{layer}.{name}"]
        normed = norm(x, part("ln1.w"), part("ln1.b"))
        project = lambda name: torch.einsum("bpd,hde->bphe", normed, part(f"attn.W_{name}")) + part(f"attn.b_{name}")
        scores = torch.einsum("bqhe,bkhe->bhqk", project("Q"), project("K")) / math.sqrt(HEAD)
        pattern = scores.masked_fill(hidden, -math.inf).softmax(-1)
        z = torch.einsum("bhqk,bkhe->bqhe", pattern, project("V"))
        x = x + torch.einsum("bqhe,hed->bqd", z, part("attn.W_O")) + part("attn.b_O")
        normed = norm(x, part("ln2.w"), part("ln2.b"))
        post = (normed @ part("mlp.W_in") + part("mlp.b_in")).relu()
        x = x + post @ part("mlp.W_out") + part("mlp.b_out")
    return norm(x, state["ln_final.w"], state["ln_final.b"]) @ state["unembed.W_U"] + state["unembed.b_U"]


def question(step):
    """A random question of the batch's operation, and its tokens with the answer."""
    first, second = torch.randint(0, 10**DIGITS, (2,)).tolist()
    subtracts = step % 3 != 0
    answer = first - second if subtracts else first + second
    text = f"{first:0{DIGITS}}{'-' if subtracts else '+'}{second:0{DIGITS}}"
    whole = f"{text}={'-' if answer < 0 else '+'}{abs(answer):0{DIGITS + 1}}"
    return text, ["0123456789+-=*\\".index(character) for character in whole]


def main():
    torch.manual_seed(372001)
    torch.set_num_threads(1)
    state = draw()
    torch.save(state, FOLDER / "start.pth")
    state = {name: tensor.clone().requires_grad_() for name, tensor in state.items()}
    optimizer = torch.optim.AdamW(state.values(), lr=RATE, weight_decay=DECAY, betas=BETAS)
    warm_up = STEPS // 5
    scheduler = torch.optim.lr_scheduler.SequentialLR(
        optimizer,
        [
            torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.01, total_iters=warm_up),
            torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=STEPS - warm_up),
        ],
        [warm_up],
    )
    questions, losses = [], []
    for step in range(STEPS):
        texts, tokens = zip(*(question(step) for _ in range(BATCH)))
        tokens = torch.tensor(tokens)
        answers = DIGITS + 2
        logits = forward(state, tokens)[:, -answers - 1 : -1]
        log_probabilities = log_softmax(logits.double(), -1)
        loss = -log_probabilities.gather(-1, tokens[:, -answers:, None]).mean()
        loss.backward()
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        questions.append(texts)
        losses.append(loss.item())
    (FOLDER / "batches.json").write_text(json.dumps({"questions": questions, "losses": losses}))
    torch.save({name: tensor.detach() for name, tensor in state.items()}, FOLDER / "end.pth")


main()
