"""Models from everywhere, and what is refused."""

import json
import pickle
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import ADD, MIX, command

import circuitcheck as cc

QUESTIONS = ["12345+67890", "99999+00001", "00000+00000"]


def test_a_folder_and_its_file_are_one_model(add: cc.Model) -> None:
    by_file = cc.load(str(ADD / "model.pth"))
    assert (by_file.name, by_file.weights_sha256) == (add.name, add.weights_sha256)
    assert add.shape == {
        "n_digits": 5, "n_layers": 2, "n_heads": 3, "d_model": 126, "d_head": 42, "d_mlp": 504,
        "n_ctx": 19, "n_answer": 7,
    }
    assert add.operations == "add"


def test_the_bundled_model_is_the_one_of_the_repository(model: cc.Model) -> None:
    assert model.weights_sha256 == cc.load(MIX).weights_sha256


def test_a_state_dict_gives_the_same_logits(add: cc.Model) -> None:
    tensors = cc.load(add.state_dict(), name="mine")
    assert tensors.name == "mine"
    assert tensors.operations == "add", "found by asking"
    same = tensors.ask(QUESTIONS).logits
    np.testing.assert_array_equal(same, add.ask(QUESTIONS).logits)


def hooked(add: cc.Model, **settings: Any) -> SimpleNamespace:
    """What `load` needs of a HookedTransformer."""
    shape = add.shape
    usual = {
        "model_name": "custom", "act_fn": "relu", "normalization_type": "LN", "eps": 1e-5,
        "n_heads": shape["n_heads"], "d_head": shape["d_head"], "attention_dir": "causal",
        "attn_scale": np.float64(np.sqrt(shape["d_head"])), "dtype": np.float32,
    }  # fmt: skip
    return SimpleNamespace(cfg=SimpleNamespace(**{**usual, **settings}), state_dict=add.state_dict)


def test_a_hooked_transformer_goes_in_directly(add: cc.Model) -> None:
    made = cc.load(hooked(add))
    assert made.name == "custom"
    np.testing.assert_array_equal(made.ask(QUESTIONS).logits, add.ask(QUESTIONS).logits)


@pytest.mark.parametrize(
    ("setting", "value", "text"),
    [
        ("act_fn", "gelu", 'cfg.act_fn is "gelu", but only "relu" is supported'),
        ("normalization_type", None, 'cfg.normalization_type is null, but only "LN" or "LNPre" is supported'),
        ("attn_scale", 1.0, "cfg.attn_scale is 1.0, but only the square root of d_head is supported"),
        ("eps", 1e-6, "cfg.eps is 1e-6, but only 1e-5 is supported"),
        ("attn_only", True, "cfg.attn_only is true, but only false is supported"),
    ],
)  # fmt: skip
def test_what_the_network_does_not_compute_is_refused(
    add: cc.Model, setting: str, value: Any, text: str
) -> None:
    with pytest.raises(cc.LoadError) as error:
        cc.load(hooked(add, **{setting: value}))
    assert str(error.value) == text


def as_bridge(tensors: dict[str, Any]) -> dict[str, Any]:
    """The state dict of a TransformerBridge: linear layers, not divided into heads."""
    made = {}
    for name, tensor in tensors.items():
        stem, leaf = name.rsplit(".", 1)
        if leaf in ("W_Q", "W_K", "W_V"):
            made[f"{stem}.{leaf[2:].lower()}.weight"] = tensor.transpose(0, 2, 1).reshape(-1, tensor.shape[1])
        elif leaf in ("b_Q", "b_K", "b_V"):
            made[f"{stem}.{leaf[2:].lower()}.bias"] = tensor.reshape(-1)
        elif leaf == "W_O":
            made[f"{stem}.o.weight"] = tensor.reshape(-1, tensor.shape[2]).T
        elif leaf == "b_O":
            made[f"{stem}.o.bias"] = tensor
        elif leaf in ("W_in", "W_out"):
            made[f"{stem}.{leaf[2:]}.weight"] = tensor.T
        elif leaf in ("b_in", "b_out"):
            made[f"{stem}.{leaf[2:]}.bias"] = tensor
        elif leaf == "W_U":
            made[f"{stem}.weight"] = tensor.T
        else:
            made[f"{stem}.{'bias' if leaf.startswith('b') else 'weight'}"] = tensor
    return made


def test_a_bridge_is_read_by_its_names(add: cc.Model) -> None:
    bridge = hooked(add)
    bridge.state_dict = lambda: as_bridge(add.state_dict())
    np.testing.assert_array_equal(cc.load(bridge).ask(QUESTIONS).logits, add.ask(QUESTIONS).logits)
    with pytest.raises(cc.LoadError, match="how many heads"):
        cc.load(bridge.state_dict())


def test_a_network_that_answers_nothing_needs_its_operations(add: cc.Model) -> None:
    tensors = {name: np.zeros_like(tensor) for name, tensor in add.state_dict().items()}
    with pytest.raises(cc.LoadError, match="operations unknown: trained for neither"):
        cc.load(tensors)
    assert cc.load(tensors, operations="add,sub").operations == "mix"
    with pytest.raises(cc.OptionError, match='unknown operation "div"'):
        cc.load(tensors, operations="div")
    with pytest.raises(TypeError, match="expected a place, a state dict or a network, got int"):
        cc.load(3)


def test_errors_have_the_text_of_the_command() -> None:
    for wrong in ["no/such/folder", str(MIX / "features.json")]:
        with pytest.raises(cc.LoadError) as error:
            cc.load(wrong)
        said = command("show", wrong)
        assert said.returncode == 4
        assert said.stderr.splitlines()[0] == f"error: {error.value}"


def test_the_hub_offline_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(cc.HubError, match="nobody/nothing"):
        cc.load("hf://nobody/nothing")


def test_a_missing_tensor_is_named(add: cc.Model) -> None:
    tensors = add.state_dict()
    del tensors["blocks.1.attn.W_O"]
    with pytest.raises(cc.LoadError, match="tensor `blocks.1.attn.W_O` is missing"):
        cc.load(tensors)


def test_models_pickle_by_place_or_by_value(add: cc.Model, tmp_path: Any) -> None:
    again = pickle.loads(pickle.dumps(add))
    assert again.weights_sha256 == add.weights_sha256
    assert len(pickle.dumps(add)) < 1000
    features = json.loads((ADD / "features.json").read_bytes())
    made = cc.load(add.state_dict(), name="mine", features=features)
    again = pickle.loads(pickle.dumps(made))
    assert (again.name, again.operations, again.weights_sha256) == ("mine", "add", made.weights_sha256)
    assert again.verify(nodes="P17L0H1").evidence_json == made.verify(nodes="P17L0H1").evidence_json


def test_a_pickled_model_whose_weights_changed_is_refused(add: cc.Model, tmp_path: Any) -> None:
    for file in ADD.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    pickled = pickle.dumps(cc.load(tmp_path))
    (tmp_path / "model.pth").write_bytes((MIX / "model.pth").read_bytes())
    (tmp_path / "training_loss.json").unlink()
    with pytest.raises(cc.LoadError, match="the weights are other ones"):
        pickle.loads(pickled)
