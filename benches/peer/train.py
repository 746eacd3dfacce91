"""Training steps in PyTorch, with as little work as the loss needs: the network of network.py, whose
weights lie packed, with autograd and the fastest AdamW."""

import torch
from torch.nn.functional import cross_entropy

from network import Network


def parameters(network):
    """The network's weights, as leaves that collect gradients."""
    network.embed, network.positions = network.embed.clone(), network.positions.clone()
    leaves = [network.embed, network.positions]
    for layer in network.layers + [{"ln_final": network.ln_final, "unembed": network.unembed}]:
        leaves += [tensor for pair in layer.values() for tensor in pair]
    return [leaf.requires_grad_() for leaf in leaves]


def train(task, state, questions):
    """A function that does a step on each batch of the questions. That it learns the same is what
    tests/training.rs compares, so it returns no answers."""
    with torch.enable_grad():
        network = Network(state)
        leaves = parameters(network)
        optimizer = torch.optim.AdamW(leaves, lr=1e-4, weight_decay=0.1, betas=(0.9, 0.98), fused=True)
        batches = questions.split(task["batch"])

        @torch.enable_grad()
        def run():
            for batch in batches:
                logits = network.logits(batch)
                loss = cross_entropy(logits.double().flatten(0, 1), batch[:, -network.answers :].flatten())
                loss.backward()
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            return torch.empty(0)

        return run
