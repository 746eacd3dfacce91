"""The network in TransformerLens, and the published tool's jobs done with it."""

import warnings

import torch

warnings.simplefilter("ignore")
from transformer_lens import HookedTransformer, HookedTransformerConfig


def load(state):
    n_layers = 1 + max(int(k.split(".")[1]) for k in state if k.startswith("blocks."))
    n_heads, d_model, d_head = state["blocks.0.attn.W_Q"].shape
    model = HookedTransformer(
        HookedTransformerConfig(
            n_layers=n_layers,
            n_heads=n_heads,
            d_model=d_model,
            d_head=d_head,
            d_mlp=state["blocks.0.mlp.W_in"].shape[1],
            n_ctx=len(state["pos_embed.W_pos"]),
            act_fn="relu",
            normalization_type="LN",
            d_vocab=15,
            d_vocab_out=15,
            device="cpu",
        )
    )
    model.load_state_dict(state, strict=False)
    return model


def hook_point(layer, head):
    """Where a node is: a head's number, or -1 for the MLP."""
    return f"blocks.{layer}." + ("mlp.hook_post" if head < 0 else "attn.hook_z")


def place(position, head):
    """The part of a hook point's value that is a node's."""
    return (slice(None), position) if head < 0 else (slice(None), position, head)


def with_node(model, tokens, node, value):
    """Logits of tokens with one node's value overwritten."""
    position, layer, head = node

    def overwrite(activation, hook):
        activation[place(position, head)] = value
        return activation

    return model.run_with_hooks(tokens, fwd_hooks=[(hook_point(layer, head), overwrite)])


def means(model, tokens):
    """Mean activations over tokens, by hook point."""
    wanted = lambda name: name.endswith(("hook_z", "hook_post", "hook_resid_post"))
    _, cache = model.run_with_cache(tokens, names_filter=wanted)
    return {name: value.mean(0) for name, value in cache.items()}


def patch_one_by_one(model, triples):
    """Answers to patched questions, one triple (source, base, node) at a time."""
    answers = []
    for source, base, (position, layer, head) in triples:
        name = hook_point(layer, head)
        _, cache = model.run_with_cache(source[None], names_filter=name)
        value = cache[name][place(position, head)]
        answers.append(with_node(model, base[None], (position, layer, head), value)[0])
    return torch.stack(answers)


def patch_in_batches(model, sources, bases, nodes, batch):
    """The same for all triples of a batch together: all activations of the sources are kept, and one
    hook at each point writes those of the triples that it is about."""
    wanted = lambda name: name.endswith(("hook_z", "hook_post"))
    answers = []
    for start in range(0, len(sources), batch):
        part = slice(start, start + batch)
        position, layer, head = nodes[part].T
        _, cache = model.run_with_cache(sources[part], names_filter=wanted)
        hooks = []
        for name, stored in cache.items():
            number, is_mlp = int(name.split(".")[1]), "mlp" in name
            who = torch.nonzero((layer == number) & ((head < 0) == is_mlp))[:, 0]
            at = (who, position[who]) if is_mlp else (who, position[who], head[who])

            def overwrite(activation, hook, at=at, value=stored[at]):
                activation[at] = value
                return activation

            if len(who):
                hooks.append((name, overwrite))
        answers.append(model.run_with_hooks(bases[part], fwd_hooks=hooks))
    return torch.cat(answers)
