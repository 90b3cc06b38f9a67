"""A trained tokenizer, a model folder and generation, as a user meets them; and the same folder in transformers."""

import pytest
import torch

import textmill
from textmill import Tokenizer
from textmill.base.errors import DataError
from textmill.checkpoint.huggingface import save_model
from textmill.model.config import ModelConfig
from textmill.model.llama import Llama

TEXT = "The quick brown fox jumps over the lazy dog; für alle Mühen. " * 20
TEMPLATE = (
    "{% for m in messages %}<|user|>{{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|user|>{% endif %}"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.set_num_threads(1)
    tokens = ("<|endoftext|>", "<|user|>", "<|end|>")
    tokenizer = Tokenizer.train(iter([TEXT]), vocab_size=300, special_tokens=tokens).with_chat_template(TEMPLATE)
    ids = [tokenizer.special_tokens[token] for token in tokens]
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=64,
        bos_token_id=ids[0],
        eos_token_id=(ids[0], ids[2]),
        initializer_range=0.2,
    )
    folder = tmp_path_factory.mktemp("whole") / "model"
    model = Llama(config).init_weights(1, residual="scaled")
    save_model(folder, config, model.state_dict(), tokenizer, add_bos_token=True)
    return folder


def test_generates(folder):
    lm = textmill.load(folder, kv="f32")
    answer = lm.generate("The quick", max_tokens=12, ignore_eos=True)
    assert answer.finish_reason == "length"
    assert len(answer.ids) == 12
    assert "".join(piece.text for piece in lm.stream("The quick", max_tokens=12, ignore_eos=True)) == answer.text
    assert answer.text == lm.tokenizer.decode(answer.ids)
    bos = lm.tokenizer.special_tokens["<|endoftext|>"]
    assert lm.generate([bos, *lm.tokenizer.encode("The quick")], max_tokens=12, ignore_eos=True) == answer


def test_chats(folder):
    lm = textmill.load(folder)
    messages = [{"role": "user", "content": "Hi <|end|>"}]
    user, end = (lm.tokenizer.special_tokens[token] for token in ("<|user|>", "<|end|>"))
    ids = lm.chat_ids(messages)
    assert (ids[0], ids[-2:], ids.count(end)) == (user, [end, user], 1)  # what a message says is no control token
    options = {"max_tokens": 5, "ignore_eos": True}
    assert lm.chat(messages, **options) == lm.generate(ids, **options)


def test_the_tokenizer_of_another_model(folder, tmp_path):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    many = [f"<|{number}|>" for number in range(200)]
    Tokenizer.train(iter([TEXT]), vocab_size=470, special_tokens=many).save(tmp_path / "tokenizer.json")
    with pytest.raises(DataError, match=r"table has \d+ rows.*the tokenizer \d+ tokens: some tokens have no row"):
        textmill.load(tmp_path)


@pytest.mark.peer
def test_transformers_says_the_same(folder):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    lm = textmill.load(folder, kv="f32")
    peer, peer_tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    inputs = peer_tokenizer("The quick", return_tensors="pt")
    bos = lm.tokenizer.special_tokens["<|endoftext|>"]
    assert inputs["input_ids"].tolist() == [[bos, *lm.tokenizer.encode("The quick")]]
    greedy = peer.generate(**inputs, max_new_tokens=20, do_sample=False, pad_token_id=0, min_new_tokens=20)
    ours = lm.generate("The quick", max_tokens=20).ids
    assert ours == greedy[0, inputs["input_ids"].shape[1] :].tolist()[: len(ours)]
    messages = [{"role": "user", "content": "Hi"}]
    assert (
        lm.chat_ids(messages) == peer_tokenizer.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
    )
