"""Networks of the real TransformerLens: their logits are this package's."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformer_lens
from transformer_lens.model_bridge import TransformerBridge

import circuitcheck as cc

HOOKED: Any
try:
    from transformer_lens import HookedTransformer as HOOKED
except ImportError:  # of version 4
    HOOKED = None

MODELS = Path(__file__).resolve().parents[2] / "models"
NAMES = sorted(path.name for path in MODELS.iterdir() if path.is_dir())

SIGNS = {"add": "+", "sub": "-", "mix": "+-"}

# Largest difference of any logit, all of which are below 100: float32 sums in another order.
TOLERANCE = 1e-4


def settings(model: cc.Model, **more: Any) -> dict[str, Any]:
    names = ["d_model", "n_layers", "n_ctx", "n_heads", "d_head", "d_mlp"]
    shape = {name: model.shape[name] for name in names}
    return {**shape, "d_vocab": 15, "act_fn": "relu", "normalization_type": "LN", "device": "cpu", **more}


def questions(model: cc.Model) -> list[str]:
    rng = np.random.default_rng(5)
    digits = model.shape["n_digits"]
    asked = rng.integers(0, 10**digits, size=(60, 2))
    return [f"{a:0{digits}}{sign}{b:0{digits}}" for sign in SIGNS[model.operations] for a, b in asked]


def own_logits(network: Any, asked: list[str], answers: list[str]) -> np.ndarray:
    """TransformerLens' logits of the answer tokens, teacher-forced."""
    tokens = ["0123456789+-=*\\".index(c) for q, a in zip(asked, answers) for c in f"{q}={a}"]
    with torch.no_grad():
        logits = network(torch.tensor(tokens).reshape(len(asked), -1), return_type="logits")
    length = len(answers[0])
    return logits[:, -length - 1 : -1].numpy()


def agree(network: Any, model: cc.Model) -> cc.Model:
    """Holds a network of TransformerLens against the same one read here."""
    read = cc.load(network)
    asked = questions(model)
    true = [answer["true_answer"] for answer in model.ask(asked).details]
    ours, theirs = read.ask(asked).logits, own_logits(network, asked, true)
    assert np.abs(theirs).max() < 100
    np.testing.assert_allclose(ours, theirs, atol=TOLERANCE, rtol=0)
    assert read.operations == model.operations, "found by asking"
    return read


def state_dict(model: cc.Model) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(tensor) for name, tensor in model.state_dict().items()}


def hooked(model: cc.Model, **more: Any) -> Any:
    config = transformer_lens.HookedTransformerConfig(**settings(model, **more))
    network = HOOKED(config)
    network.load_state_dict(state_dict(model), strict=False)
    return network


@pytest.mark.skipif(HOOKED is None, reason="this version has no HookedTransformer")
@pytest.mark.parametrize("name", NAMES)
def test_a_hooked_transformer_agrees(name: str) -> None:
    model = cc.load(MODELS / name)
    agree(hooked(model), model)


PROCESSED = ["fold_ln", "center_writing_weights", "center_unembed", "refactor_factored_attn_matrices"]


@pytest.mark.skipif(HOOKED is None, reason="this version has no HookedTransformer")
@pytest.mark.parametrize("process", [*PROCESSED, "all"])
def test_processed_weights_agree(process: str) -> None:
    model = cc.load(MODELS / NAMES[0])
    network = hooked(model)
    on = {each: process in (each, "all") for each in PROCESSED}
    network.load_and_process_state_dict(state_dict(model), fold_value_biases=process == "all", **on)
    if on["fold_ln"]:
        assert network.cfg.normalization_type == "LNPre"
    read = agree(network, model)
    # The same network, with other tensors: it is not the file's that was read.
    assert read.weights_sha256 != model.weights_sha256


@pytest.mark.skipif(HOOKED is None, reason="this version has no HookedTransformer")
@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ({"act_fn": "gelu"}, 'cfg.act_fn is "gelu"'),
        ({"normalization_type": None}, "cfg.normalization_type is null"),
        ({"eps": 1e-6}, "cfg.eps is 1e-6|cfg.eps is 0.000001"),
        ({"attn_only": True}, "cfg.attn_only is true"),
        ({"use_attn_scale": False}, "cfg.use_attn_scale is false"),
        ({"attention_dir": "bidirectional"}, 'cfg.attention_dir is "bidirectional"'),
        ({"positional_embedding_type": "rotary", "rotary_dim": 42}, 'cfg.positional_embedding_type is "rotary"'),
    ],
)
def test_what_is_computed_otherwise_is_refused(setting: dict[str, Any], text: str) -> None:
    model = cc.load(MODELS / NAMES[0])
    config = transformer_lens.HookedTransformerConfig(**settings(model, **setting))
    with pytest.raises(cc.LoadError, match=text):
        cc.load(HOOKED(config))


def bridge(model: cc.Model) -> Any:
    """A bridge with the model's weights."""
    network = TransformerBridge.boot_native(settings(model))
    tensors = state_dict(model)
    with torch.no_grad():
        for name, parameter in network.state_dict().items():
            parameter.copy_(bridged(name, tensors))
    return network


def bridged(name: str, tensors: dict[str, torch.Tensor]) -> torch.Tensor:
    """The tensor of a bridge's linear layer, as PyTorch's own layout has it."""
    stem, kind = name.rsplit(".", 1)
    layer, _, part = stem.rpartition(".")
    if part in ("q", "k", "v"):
        letter = "W" if kind == "weight" else "b"
        tensor = tensors[f"{layer}.{letter}_{part.upper()}"]
        return tensor.transpose(1, 2).flatten(0, 1) if kind == "weight" else tensor.flatten()
    if part == "o":
        return tensors[f"{layer}.W_O"].flatten(0, 1).T if kind == "weight" else tensors[f"{layer}.b_O"]
    if part in ("in", "out"):
        tensor = tensors[f"{layer}.{'W' if kind == 'weight' else 'b'}_{part}"]
        return tensor.T if kind == "weight" else tensor
    outer = {
        "embed.weight": "embed.W_E",
        "pos_embed.weight": "pos_embed.W_pos",
        "unembed.weight": "unembed.W_U",
        "unembed.bias": "unembed.b_U",
    }
    if name in outer:
        tensor = tensors[outer[name]]
        return tensor.T if name == "unembed.weight" else tensor
    return tensors[f"{stem}.{kind[0]}"]


@pytest.mark.parametrize("processed", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_a_bridge_agrees(name: str, processed: bool) -> None:
    model = cc.load(MODELS / name)
    network = bridge(model)
    if processed:
        network.enable_compatibility_mode()
    agree(network, model)


def test_a_claim_about_a_network_in_memory_gets_the_verdict_of_its_file() -> None:
    folder = MODELS / "w126_add_d5_l2_h3_t15K_s372001"
    model = cc.load(folder)
    network = bridge(model)
    found = cc.load(network, features=folder / "features.json").verify(nodes=["P17L0H1", "P13L0H2"])
    filed = model.verify(nodes=["P17L0H1", "P13L0H2"])
    assert found.evidence["claims"] == filed.evidence["claims"]
