"""Files that textmill writes, in llama.cpp: the same tokens, the same template, the same numbers."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings

from checkpoint import llama_cpp
from checkpoint.test_convert import models
from checkpoint.tiny_models import TEMPLATE, TEXT, config, tokenizer, weights, write_folder
from model.families import FAMILIES
from textmill import Tokenizer
from textmill.base.errors import ConfigError
from textmill.checkpoint.convert import convert
from textmill.checkpoint.huggingface import load_llama, save_model
from textmill.checkpoint.stored_model import open_model

pytestmark = pytest.mark.peer

TEXTS = [
    "The quick brown fox jumps over 1234567 lazy dogs, doesn't it? IT'S  done.\n\n\n  \tx\r\n",
    "naïve café — 中文分词 ½ Ⅷ ² Привет, мир! 🤖👩‍👩‍👧 e\u0301 ٣٤٥ हिन्दी \u3000\u00a0x ",
    "def f(x):\n    return x[1:]+'''a'''  # <|im_end|> [INST]\n",
    "",
    " ",
]
# What llama.cpp has no place for: sliding windows of these architectures, and what conversion refuses.
RUN = [name for name in FAMILIES if "window" not in name and name not in {"qwen3-all", "smollm3"}]


@pytest.mark.parametrize("pattern", ["smollm", "gpt2", "cl100k", "qwen2", "deepseek-v3"])
def test_tokens_are_the_same(tmp_path, pattern):
    trained = tokenizer("cl100k" if pattern == "qwen2" else pattern)
    folder = write_folder(tmp_path / "hf", config(eos_token_id=(2, 0)), pattern=pattern, add_bos_token=True)
    if pattern == "qwen2":
        _make_nfc(folder / "tokenizer.json")
    convert(folder, tmp_path / "x.gguf")
    theirs = llama_cpp.ask(tmp_path / "x.gguf", texts=TEXTS)
    ours = Tokenizer.load(folder)
    for place, text in enumerate(TEXTS):
        if pattern == "qwen2" and "\u0301" in text:  # llama.cpp does not normalise; the conversion says so
            continue
        assert theirs["tokens"][place] == ours.encode(text), text
        assert theirs["with_specials"][place] == [0, *ours.encode(text, special="parse")], text
    assert theirs["values"]["tokenizer.chat_template"] == TEMPLATE
    assert (theirs["bos"], theirs["eos"]) == (0, 2)
    assert {0, 2} <= set(theirs["stops"])
    assert trained.vocab_size == 300


def _make_nfc(path):
    table = json.loads(path.read_text())
    table["normalizer"] = {"type": "NFC"}
    path.write_text(json.dumps(table))


@pytest.mark.parametrize("name", RUN)
def test_logits_are_the_same(tmp_path, name):
    sizes = config(**{"max_position_embeddings": 128, "intermediate_size": 96} | FAMILIES[name])
    folder = write_folder(tmp_path / "hf", sizes)
    convert(folder, tmp_path / "x.gguf", type="f32")
    ids = np.random.default_rng(3).integers(3, 300, 60).tolist()
    theirs = np.array(llama_cpp.ask(tmp_path / "x.gguf", ids=ids)["logits"])
    with torch.no_grad():
        ours = load_llama(folder)(torch.tensor([ids]))[0, -1].numpy()
    # float32 on both sides, in another order and with other sines: measured, 1e-5 of the largest.
    assert np.abs(ours - theirs).max() < 1e-4 * np.abs(ours).max()
    assert ours.argmax() == theirs.argmax()


def test_layers_without_rope(tmp_path):
    sizes = config(
        model_type="smollm3", num_hidden_layers=5, nope_layers=(3,), tie_word_embeddings=True, num_key_value_heads=1
    )
    folder = write_folder(tmp_path / "hf", sizes)
    convert(folder, tmp_path / "x.gguf")
    ids = np.random.default_rng(3).integers(3, 300, 60).tolist()
    theirs = np.array(llama_cpp.ask(tmp_path / "x.gguf", ids=ids)["logits"])
    with torch.no_grad():
        ours = load_llama(folder)(torch.tensor([ids]))[0, -1].numpy()
    assert np.abs(ours - theirs).max() < 1e-4 * np.abs(ours).max()


@pytest.mark.parametrize("kind", ["f16", "bf16", "q8_0", "q4_0"])
def test_every_type_is_loaded(tmp_path, kind):
    """Nearly the numbers of the folder that is made of the same file."""
    folder = write_folder(tmp_path / "hf", dataclasses.replace(config(), intermediate_size=80))
    convert(folder, tmp_path / "x.gguf", type=kind)
    convert(tmp_path / "x.gguf", tmp_path / "back", type="f32")
    ids = np.random.default_rng(3).integers(3, 300, 20).tolist()
    theirs = np.array(llama_cpp.ask(tmp_path / "x.gguf", ids=ids)["logits"])
    with torch.no_grad():
        ours = load_llama(tmp_path / "back")(torch.tensor([ids]))[0, -1].numpy()
    # llama.cpp rounds activations to the type of the weights, or to 8 bits: about a hundredth of what they are.
    assert np.linalg.norm(ours - theirs) < 0.05 * np.linalg.norm(ours)


@pytest.mark.parametrize(
    ("file_type", "kinds"),
    [
        (3, {"Q4_1"}),
        (8, {"Q5_0"}),
        (9, {"Q5_1"}),
        (15, {"Q4_K", "Q6_K"}),
        (17, {"Q5_K", "Q6_K"}),
        (18, {"Q6_K"}),
    ],
)
def test_types_that_llama_cpp_writes_are_read(tmp_path, file_type, kinds):
    """The folder made of llama.cpp's file gives nearly llama.cpp's numbers."""
    sizes = config(hidden_size=256, intermediate_size=256, head_dim=64, num_hidden_layers=2)
    save_model(tmp_path / "hf", sizes, weights(sizes, scale=0.05), tokenizer())
    convert(tmp_path / "hf", tmp_path / "f32.gguf", type="f32")
    llama_cpp.quantise(tmp_path / "f32.gguf", tmp_path / "x.gguf", file_type)
    found = {tensor.type for tensor in open_model(tmp_path / "x.gguf").tensors.values()}
    assert kinds <= found <= kinds | {"F32", "Q6_K", "Q8_0"}
    convert(tmp_path / "x.gguf", tmp_path / "back")
    ids = np.random.default_rng(3).integers(3, 300, 20).tolist()
    theirs = np.array(llama_cpp.ask(tmp_path / "x.gguf", ids=ids)["logits"])
    with torch.no_grad():
        ours = load_llama(tmp_path / "back")(torch.tensor([ids]))[0, -1].numpy()
    # llama.cpp rounds activations to 8 bits: about a hundredth of what they are.
    assert np.linalg.norm(ours - theirs) < 0.05 * np.linalg.norm(ours)


@pytest.fixture(scope="module")
def sentencepiece_model(tmp_path_factory):
    """A model as Llama 2's, trained on a few sentences."""
    sentencepiece = pytest.importorskip("sentencepiece")
    path = tmp_path_factory.mktemp("spm") / "tokenizer.model"
    with path.open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(TEXT * 3),
            model_writer=file,
            vocab_size=360,
            model_type="bpe",
            byte_fallback=True,
            split_digits=True,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            minloglevel=2,
        )
    return path


def test_tokens_over_characters_are_the_same(tmp_path, sentencepiece_model):
    """A vocabulary with scores, written as a list of merges into a folder, as scores into a GGUF, and back."""
    ours = Tokenizer.load(sentencepiece_model)
    sizes = config(vocab_size=ours.vocab_size + 4, bos_token_id=1, eos_token_id=2)
    save_model(tmp_path / "hf", sizes, weights(sizes), ours, add_bos_token=True)
    convert(tmp_path / "hf", tmp_path / "x.gguf")
    convert(tmp_path / "x.gguf", tmp_path / "back")
    theirs = llama_cpp.ask(tmp_path / "x.gguf", texts=TEXTS)
    read, back = Tokenizer.load(tmp_path / "x.gguf"), Tokenizer.load(tmp_path / "back")
    for place, text in enumerate(TEXTS):
        ids = ours.encode(text)
        assert theirs["tokens"][place] == ids, text
        assert theirs["with_specials"][place] == [1, *ids], text
        assert read.encode(text) == back.encode(text) == ids
    assert (read.prefix_ids, back.prefix_ids, read.stop_ids) == ((1,), (1,), (2,))


@given(sizes=models())
@settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
def test_whatever_is_written_is_loaded(tmp_path_factory, sizes):
    folder = tmp_path_factory.mktemp("any")
    write_folder(folder / "hf", sizes)
    try:
        notes = convert(folder / "hf", folder / "x.gguf", type="f32")
    except ConfigError:  # what GGUF cannot say, or llama.cpp not load
        return
    ids = np.random.default_rng(3).integers(3, 300, 30).tolist()
    theirs = np.array(llama_cpp.ask(folder / "x.gguf", ids=ids)["logits"])
    if any("llama.cpp" in note for note in notes):  # it loads the file, and does something else
        return
    with torch.no_grad():
        ours = load_llama(folder / "hf")(torch.tensor([ids]))[0, -1].numpy()
    assert np.abs(ours - theirs).max() < 2e-3 * np.abs(ours).max()
