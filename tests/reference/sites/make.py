"""Makes sites.json: what a network written anew in numpy, in double precision, gives when one of its
sites is read or replaced, when an edge is exchanged, and along an interpolation.

    python make.py ../../../models > sites.json

It needs numpy and, to read the weights, torch. It shares no code with the program that is tested.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

MODELS = ["w126_add_d5_l2_h3_t15K_s372001", "w126_mix_d5_l3_h4_t40K_s372001"]
PAIRS = {  # source, base
    MODELS[0]: [("22222+66966", "33333+55555"), ("04999+05001", "12345+67890")],
    MODELS[1]: [("22222+66966", "33333+55555"), ("90210-11111", "20000-30303")],
}
N = 5
N_CTX = 3 * N + 4
FIRST = 2 * N + 1
VOCAB = "0123456789+-=*\\"
ALPHAS = [0.25, 0.5, 0.75]


def tokens(question):
    sign = "+" if "+" in question else "-"
    a, b = (int(x) for x in question.split(sign))
    answer = a + b if sign == "+" else a - b
    text = f"{a:0{N}}{sign}{b:0{N}}={'-' if answer < 0 else '+'}{abs(answer):0{N + 1}}"
    return np.array([VOCAB.index(c) for c in text])


class Network:
    def __init__(self, folder):
        state = torch.load(folder / "model.pth", map_location="cpu", weights_only=False)
        state = state.get("model", state)
        self.w = {k: v.double().numpy() for k, v in state.items() if v.dtype.is_floating_point}
        self.layers = 1 + max(int(k.split(".")[1]) for k in self.w if k.startswith("blocks."))
        self.heads, self.d, self.dh = self.w["blocks.0.attn.W_Q"].shape

    def norm(self, name, x):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5)
        return x * self.w[name + ".w"] + self.w[name + ".b"]

    def run(self, tokens, replace=()):
        """The logits of the answer, and every activation by its name. `replace` is a list of (name,
        index, value): the activation's part at the index becomes the value."""
        seen = {}

        def hook(name, value):
            value = value.copy()
            for where, index, new in replace:
                if where == name:
                    value[index] = new
            seen[name] = value
            return value

        w = self.w
        x = hook("hook_embed", w["embed.W_E"][tokens]) + hook("hook_pos_embed", w["pos_embed.W_pos"])
        for l in range(self.layers):
            b = f"blocks.{l}."
            x = hook(b + "hook_resid_pre", x)
            normed = hook(b + "ln1.hook_normalized", self.norm(b + "ln1", x))
            q, k, v = (
                hook(
                    b + f"attn.hook_{n}",
                    np.einsum("pd,hde->phe", normed, w[b + f"attn.W_{n.upper()}"])
                    + w[b + f"attn.b_{n.upper()}"],
                )
                for n in "qkv"
            )
            scores = np.einsum("qhe,khe->hqk", q, k) / np.sqrt(self.dh)
            scores[:, np.triu(np.ones((N_CTX, N_CTX), bool), 1)] = -np.inf
            scores = np.exp(scores - scores.max(-1, keepdims=True))
            pattern = hook(b + "attn.hook_pattern", scores / scores.sum(-1, keepdims=True))
            z = hook(b + "attn.hook_z", np.einsum("hqk,khe->qhe", pattern, v))
            result = hook(b + "attn.hook_result", np.einsum("phe,hed->phd", z, w[b + "attn.W_O"]))
            x = x + hook(b + "hook_attn_out", result.sum(1) + w[b + "attn.b_O"])
            x = hook(b + "hook_resid_mid", x)
            normed = hook(b + "ln2.hook_normalized", self.norm(b + "ln2", x))
            pre = hook(b + "mlp.hook_pre", normed @ w[b + "mlp.W_in"] + w[b + "mlp.b_in"])
            post = hook(b + "mlp.hook_post", np.maximum(pre, 0))
            x = x + hook(b + "hook_mlp_out", post @ w[b + "mlp.W_out"] + w[b + "mlp.b_out"])
            x = hook(b + "hook_resid_post", x)
        normed = hook("ln_final.hook_normalized", self.norm("ln_final", x))
        logits = normed @ w["unembed.W_U"] + w["unembed.b_U"]
        return logits[FIRST : N_CTX - 1], seen


def index_of(site):
    """`blocks.0.attn.hook_z[15][2]`: the name, and the index."""
    name, *parts = site.replace("]", "").split("[")
    index = []
    for part in parts:
        index.append(slice(*map(int, part.split(":"))) if ":" in part else int(part))
    return name, tuple(index)


def sites(network):
    """One or more of every hook, early and late."""
    last = network.layers - 1
    named = ["hook_embed[3]", "hook_pos_embed[8]", "ln_final.hook_normalized[13]"]
    for layer, position in [(0, 9), (0, 14), (last, 12), (last, 15)]:
        b = f"blocks.{layer}."
        named += [
            f"{b}{name}[{position}]"
            for name in (
                "hook_resid_pre hook_resid_mid hook_resid_post hook_attn_out hook_mlp_out "
                "ln1.hook_normalized ln2.hook_normalized mlp.hook_pre mlp.hook_post"
            ).split()
        ]
        named += [f"{b}attn.hook_{name}[{position}][1]" for name in "q k v z result".split()]
        named += [f"{b}attn.hook_pattern[1][{position}][0:{position + 1}]"]
        named += [f"{b}mlp.hook_post[{position}][7:150]"]
    return named


def contribution(network, seen, sender):
    """What a sender adds to the stream: a site, or (layer, head, position, keys)."""
    if isinstance(sender, str):
        name, index = index_of(sender)
        return seen[name][index]
    layer, head, position, keys = sender
    b = f"blocks.{layer}.attn."
    pattern, v = seen[b + "hook_pattern"][head, position, keys], seen[b + "hook_v"][keys, head]
    return pattern @ v @ network.w[b + "W_O"][head]


def edges(network):
    """The short name of an edge, its sender, and its receiver with the stream that it reads."""
    last = network.layers - 1
    p, b = 14, f"blocks.{network.layers - 1}."
    result = f"{b}attn.hook_result[{p}][1]"
    mid, ln2 = (f"{b}hook_resid_mid[{p}]", f"{b}ln2.hook_normalized[{p}]")
    pre = f"{b}hook_resid_pre[{p}]"
    q, k, v = (f"{b}attn.hook_{n}[{p}][2]" for n in "qkv")
    final, stream = f"ln_final.hook_normalized[{p}]", f"{b}hook_resid_post[{p}]"
    return [
        (f"P{p}L{last}H1 -> P{p}L{last}M0", result, ln2, mid),
        (f"P{p}L{last}H1<P{FIRST} -> P{p}L{last}M0", (last, 1, p, [FIRST]), ln2, mid),
        (f"P{p}L{last}H1<P3+P8 -> P{p}L{last}M0", (last, 1, p, [3, 8]), ln2, mid),
        (f"P{p}L{last}.resid_pre -> P{p}L{last}M0", pre, ln2, mid),
        (f"P{p}L{last}M0 -> P{p}.ln_final", f"{b}hook_mlp_out[{p}]", final, stream),
        (f"P{p}L0M0 -> P{p}L{last}H2.q", f"blocks.0.hook_mlp_out[{p}]", q, pre),
        (f"P{p}L0M0 -> P{p}L{last}H2.k", f"blocks.0.hook_mlp_out[{p}]", k, pre),
        (f"P{p}.embed -> P{p}L{last}H2.v", f"hook_embed[{p}]", v, pre),
    ]


def receive(network, receiver, clean, stream, delta, frozen):
    """The receiver's value when delta is added to the stream that it reads."""
    name, index = index_of(receiver)
    layer = name.rsplit(".", 2)[0] if "attn" in name else name.rsplit(".", 1)[0]
    norm = layer + ".ln1" if "attn" in name else layer
    if frozen:
        scale = np.sqrt(((stream - stream.mean()) ** 2).mean() + 1e-5)
        normed = network.norm(norm, stream) + (delta - delta.mean()) / scale * network.w[norm + ".w"]
    else:
        normed = network.norm(norm, stream + delta)
    if "attn" not in name:
        return normed
    which = name[-1].upper()
    head = index[1]
    w = network.w
    return normed @ w[f"{layer}.attn.W_{which}"][head] + w[f"{layer}.attn.b_{which}"][head]


def rounded(values):
    return [float(f"{v:.7g}") for v in np.ravel(values)]


def main():
    models = {}
    for model in MODELS:
        network = Network(Path(sys.argv[1]) / model)
        pairs = []
        for source, base in PAIRS[model]:
            (_, theirs), (clean, own) = (network.run(tokens(q)) for q in (source, base))
            patched = {}
            for site in sites(network):
                name, index = index_of(site)
                value = theirs[name][index]
                logits, _ = network.run(tokens(base), [(name, index, value)])
                patched[site] = {"source": rounded(value[:6]), "logits": rounded(logits)}
            exchanged = {}
            for text, sender, receiver, stream in edges(network):
                delta = contribution(network, theirs, sender) - contribution(network, own, sender)
                name, index = index_of(receiver)
                where, at = index_of(stream)
                exchanged[text] = {}
                for scale in ["frozen", "running"]:
                    value = receive(
                        network, receiver, own[name][index], own[where][at], delta, scale == "frozen"
                    )
                    logits, _ = network.run(tokens(base), [(name, index, value)])
                    exchanged[text][scale] = rounded(logits)
            moved = {}
            for site in ["blocks.0.hook_resid_post[11]", "blocks.1.attn.hook_z[14][1]"]:
                name, index = index_of(site)
                moved[site] = []
                for alpha in ALPHAS:
                    value = own[name][index] + alpha * (theirs[name][index] - own[name][index])
                    logits, _ = network.run(tokens(base), [(name, index, value)])
                    moved[site].append(rounded(logits))
            pairs.append(
                {
                    "source": source,
                    "base": base,
                    "clean": rounded(clean),
                    "patched": patched,
                    "exchanged": exchanged,
                    "moved": moved,
                }
            )
        models[model] = pairs
    json.dump({"alphas": ALPHAS, "models": models}, sys.stdout, separators=(",", ":"))


main()
