"""The network in plain PyTorch, with as little work as answers need: in the last layer, queries and
MLP only where an answer token is predicted."""

import torch
from torch.nn.functional import layer_norm, linear, relu


class Network:
    def __init__(self, state):
        self.layers = []
        self.embed, self.positions = state["embed.W_E"], state["pos_embed.W_pos"]
        for layer in range(1 + max(int(k.split(".")[1]) for k in state if k.startswith("blocks."))):
            part = lambda name: state[f"blocks.{layer}.{name}"]
            heads, d_model, d_head = part("attn.W_Q").shape
            side_by_side = lambda name: part(name).permute(0, 2, 1).reshape(heads * d_head, d_model)
            self.heads, self.d_head, self.d_model = heads, d_head, d_model
            self.layers.append(
                {
                    "ln1": (part("ln1.w"), part("ln1.b")),
                    "qkv": (
                        torch.cat([side_by_side(f"attn.W_{n}") for n in "QKV"]).contiguous(),
                        torch.cat([part(f"attn.b_{n}").flatten() for n in "QKV"]),
                    ),
                    "out": (
                        part("attn.W_O").reshape(heads * d_head, d_model).T.contiguous(),
                        part("attn.b_O"),
                    ),
                    "ln2": (part("ln2.w"), part("ln2.b")),
                    "in": (part("mlp.W_in").T.contiguous(), part("mlp.b_in")),
                    "back": (part("mlp.W_out").T.contiguous(), part("mlp.b_out")),
                }
            )
        self.ln_final = (state["ln_final.w"], state["ln_final.b"])
        self.unembed = (state["unembed.W_U"].T.contiguous(), state["unembed.b_U"])
        n_ctx = len(self.positions)
        # 3n + 4 positions, of which n + 2 predict an answer token; the last predicts nothing.
        self.live = n_ctx - 1
        self.answers = (n_ctx - 4) // 3 + 2

    def norm(self, x, weights):
        return layer_norm(x, (self.d_model,), *weights, 1e-5)

    def logits(self, tokens):
        """Logits of the answer tokens, [batch, answers, 15], of tokens [batch, n_ctx]."""
        x = self.embed[tokens[:, : self.live]] + self.positions[: self.live]
        batch = len(x)
        for number, layer in enumerate(self.layers):
            width = self.heads * self.d_head
            normed = self.norm(x, layer["ln1"])
            split = lambda m: m.view(batch, -1, self.heads, self.d_head).transpose(1, 2)
            if number + 1 < len(self.layers):
                query, key, value = linear(normed, *layer["qkv"]).split(width, -1)
                attended = torch.nn.functional.scaled_dot_product_attention(
                    split(query), split(key), split(value), is_causal=True
                )
            else:
                weight, bias = layer["qkv"]
                key, value = linear(normed, weight[width:], bias[width:]).split(width, -1)
                x = x[:, -self.answers :]
                query = linear(normed[:, -self.answers :], weight[:width], bias[:width])
                seen = torch.ones(self.answers, self.live, dtype=torch.bool)
                seen = seen.tril(self.live - self.answers)
                attended = torch.nn.functional.scaled_dot_product_attention(
                    split(query), split(key), split(value), attn_mask=seen
                )
            x = x + linear(attended.transpose(1, 2).reshape(batch, -1, width), *layer["out"])
            hidden = relu(linear(self.norm(x, layer["ln2"]), *layer["in"]))
            x = x + linear(hidden, *layer["back"])
        return linear(self.norm(x, self.ln_final), *self.unembed)
