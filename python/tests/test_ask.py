"""Answers, patches, ablations and attention, against the command and against the state dict."""

import json
import pickle

import numpy as np
import pytest
from conftest import ADD, command

import circuitcheck as cc


def test_answers_are_those_of_the_command(add: cc.Model) -> None:
    questions = ["12345+67890", "99999+00001"]
    asked = add.ask(questions)
    said = json.loads(command("ask", ADD, *questions, "--json").stdout)
    keys = ["question", "class", "complexity", "true_answer", "answer", "right", "wrong"]
    for ours, theirs in zip(asked.details, said["answers"]):
        assert [ours[key] for key in keys] == [theirs[key] for key in keys]
    assert asked.tally is None
    assert asked.answers == ["+080235", "+100000"]


def test_one_question_has_no_axis_of_questions(add: cc.Model) -> None:
    one, several = add.ask("12345+67890"), add.ask(["12345+67890"])
    assert one.logits.shape == (7, 15) and several.logits.shape == (1, 7, 15)
    np.testing.assert_array_equal(one.logits, several.logits[0])
    tokens = one.logits.argmax(axis=-1)
    assert "".join("0123456789+-=*\\"[token] for token in tokens) == one.answer


def test_a_patch_is_that_of_the_command(add: cc.Model) -> None:
    patched = add.patch(source="22222+66966", base="33333+55555", nodes=["P15L0H2"])
    line = ["--source", "22222+66966", "--base", "33333+55555", "--node", "P15L0H2"]
    said = json.loads(command("patch", ADD, *line, "--json").stdout)
    assert patched.details[0]["answer"] == said["answer"]
    assert patched.details[0]["changed"] == said["changed"]
    assert patched.logits.shape == patched.clean_logits.shape == (7, 15)
    np.testing.assert_array_equal(patched.clean_logits, add.ask("33333+55555").logits)
    assert np.abs(patched.logits - patched.clean_logits).max() > 0.1


def test_patches_of_many_pairs_are_those_of_each_pair(add: cc.Model) -> None:
    rng = np.random.default_rng(0)
    numbers = rng.integers(0, 10**5, size=(40, 4))
    sources = [f"{a:05}+{b:05}" for a, b, _, _ in numbers]
    bases = [f"{c:05}+{d:05}" for _, _, c, d in numbers]
    patched = add.patch(sources, bases, ["P15L0H2", "P14L0M0"])
    for i in range(0, 40, 13):
        one = add.patch(sources[i], bases[i], ["P15L0H2", "P14L0M0"])
        np.testing.assert_array_equal(one.logits, patched.logits[i])
    one_source = add.patch(sources[0], bases, "P15L0H2")
    assert len(one_source) == 40
    with pytest.raises(cc.OptionError, match="2 sources and 40 bases"):
        add.patch(sources[:2], bases, "P15L0H2")


def test_an_ablation_is_that_of_the_command(add: cc.Model) -> None:
    for by in ["mean", "zero", "resample"]:
        ablated = add.ablate(["P15L0H2", "P15L0M0"], by, seed=7)  # type: ignore[arg-type]
        line = ["--node", "P15L0H2,P15L0M0", "--by", by, "--seed", "7"]
        said = json.loads(command("ablate", ADD, *line, "--json").stdout)
        tally = ablated.tally
        assert tally is not None
        assert {key: said[key] for key in tally} == tally
        assert ablated.answers == [answer["answer"] for answer in said["answers"]]


def test_activations_are_what_patches_carry(add: cc.Model) -> None:
    questions = ["22222+66966", "33333+55555"]
    read = add.activations("blocks.0.attn.hook_z", questions)
    assert read.dims == ("question", "position", "head", "d_head") and read.questions == questions
    assert np.asarray(read).shape == read.shape == (2, 19, 3, 42)
    # The head's own result, through W_O, and every other head's, is what attention adds to the stream.
    tensors = add.state_dict()
    stream = add.activations("blocks.0.hook_resid_post", questions).values
    post = add.activations("blocks.0.mlp.hook_post", questions).values
    assert post.min() == 0, "after ReLU"
    tokens = [["0123456789+-=".index(c) for c in f"{q}=+{sum(map(int, q.split('+'))):06}"] for q in questions]
    embedded = tensors["embed.W_E"][tokens] + tensors["pos_embed.W_pos"]
    heads = np.einsum("qphd,hdm->qpm", read.values, tensors["blocks.0.attn.W_O"])
    mlp = post @ tensors["blocks.0.mlp.W_out"] + tensors["blocks.0.mlp.b_out"]
    added = embedded + heads + tensors["blocks.0.attn.b_O"] + mlp
    np.testing.assert_allclose(stream, added, atol=1e-4)
    pattern = add.activations("blocks.1.attn.hook_pattern", questions[0])
    np.testing.assert_array_equal(pattern[0], add.attention(questions[0]).weights[1])
    site = add.activations("P14L0.resid_mid", questions)
    assert site.dims == ("question", "value")
    mid = add.activations("blocks.0.hook_resid_mid", questions)
    np.testing.assert_array_equal(site.values, mid.values[:, 14])
    with pytest.raises(cc.NodeError, match="is no site"):
        add.activations("blocks.0.hook_everything", questions)
    with pytest.raises(cc.NodeError, match="is layer 2, the model has layers 0 to 1"):
        add.activations("blocks.2.hook_resid_mid", questions)


def test_attention_sums_to_one_over_what_went_before(add: cc.Model) -> None:
    attention = add.attention("12345+67890", nodes="P17L0H1")
    assert attention.weights.shape == (2, 3, 19, 19)
    np.testing.assert_allclose(attention.weights.sum(axis=-1), 1, atol=1e-5)
    assert np.triu(attention.weights, k=1).max() == 0
    assert "P17L0H1" in attention.html and "P16L0H1" not in attention.html


def test_what_is_no_question_or_no_node_is_refused(add: cc.Model) -> None:
    with pytest.raises(cc.QuestionError, match='has the operator "-", the model was trained for "add" alone'):
        add.ask("5-3")
    with pytest.raises(cc.QuestionError):
        add.ask("123456+1")
    with pytest.raises(cc.NodeError, match="is head 7, the model has heads 0 to 2"):
        add.patch("1+1", "2+2", "P15L0H7")
    with pytest.raises(cc.NodeError, match="is no site"):
        add.patch("1+1", "2+2", "head 7")
    with pytest.raises(cc.OptionError, match='unknown ablation "median"'):
        add.ablate("P15L0H2", "median")  # type: ignore[arg-type]
    with pytest.raises(cc.OptionError, match='no decoding "both"'):
        add.ask("1+1", decode="both")  # type: ignore[arg-type]
    with pytest.raises(cc.OptionError, match="nodes: the list is empty"):
        add.patch("1+1", "2+2", [])
    with pytest.raises(cc.OptionError, match="seed -1: expected a whole number"):
        add.ablate("P15L0H2", seed=-1)
    with pytest.raises(TypeError, match="questions: expected a text or several, got NoneType"):
        add.ask(None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="questions: expected texts, got int among them"):
        add.ask([1])  # type: ignore[list-item]
    assert len(add.ask([])) == 0
    assert issubclass(cc.NodeError, cc.CircuitcheckError)


def test_answers_pickle(add: cc.Model) -> None:
    patched = add.patch("22222+66966", "33333+55555", "P15L0H2")
    again = pickle.loads(pickle.dumps(patched))
    np.testing.assert_array_equal(again.logits, patched.logits)
    assert again.details == patched.details and again.questions == patched.questions
