"""A model on the disk and ``textmill.load``: what it takes, what it gives, and what it refuses."""

import dataclasses
import json

import numpy as np
import pytest
import torch

import textmill
from checkpoint import tiny_models
from fakes import tiny_model
from textmill import Tokenizer
from textmill.base.errors import ConfigError, DataError
from textmill.checkpoint import huggingface
from textmill.checkpoint.convert import convert
from textmill.checkpoint.huggingface import save_model
from textmill.checkpoint.store import save_checkpoint
from textmill.model.hf_config import write_hf
from textmill.model.llama import Llama
from textmill.model.rope_scaling import LinearScaling, Llama3Scaling, YarnScaling
from tokenizer import sentencepiece_models


@pytest.fixture
def model(config):
    return Llama(config).init_weights(1, residual="scaled").requires_grad_(False)


@pytest.fixture
def folder(tmp_path, config, model, tokenizer, monkeypatch):
    monkeypatch.setattr("textmill.checkpoint.huggingface_model.load_tokenizer", lambda folder, config: tokenizer)
    save_model(tmp_path / "model", config, model.state_dict(), tokenizer, add_bos_token=True)
    return tmp_path / "model"


def test_a_batch_gives_what_each_prompt_gives_alone_and_streamed(folder):
    lm = textmill.load(folder)
    prompts = ["a", "Once upon a time", "a", [5, 6, 7]]
    options = {"max_tokens": 20, "temperature": 1.0, "top_p": 0.95, "seed": 11, "logprobs": 2}
    together = lm.generate(prompts, **options)
    assert together == [lm.generate(prompt, **options) for prompt in prompts]
    assert together[0] == together[2]
    for prompt, answer in zip(prompts, together, strict=True):
        pieces = list(lm.stream(prompt, **options))
        assert "".join(piece.text for piece in pieces) == answer.text
        assert [i for piece in pieces for i in piece.ids] == answer.ids


def test_logits_are_those_that_tokens_are_drawn_from(folder):
    lm = textmill.load(folder)
    answer = lm.generate("Once", max_tokens=40, logprobs=0, prompt_logprobs=True, ignore_eos=True)
    text = [256, *b"Once", *answer.ids]
    logits = lm.logits(text)
    assert (logits.dtype, logits.shape) == (np.float32, (45, 260))
    logits = logits[:, :258].astype(np.float64)
    logprobs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    assert logits[4:-1].argmax(-1).tolist() == answer.ids
    told = [*answer.prompt_logprobs[1:], *answer.logprobs]
    np.testing.assert_allclose(told, [row[i] for row, i in zip(logprobs, text[1:], strict=False)], atol=1e-5)


def test_a_wrong_tier_is_no_fault_of_the_model(tmp_path, monkeypatch):
    tiny_model.write_model(tmp_path / "model")
    monkeypatch.setenv("TEXTMILL_ISA", "sse9")
    with pytest.raises(ConfigError, match=r'^the environment variable TEXTMILL_ISA is "sse9"\. It may be amx'):
        textmill.load(tmp_path / "model")


def test_a_seed_goes_on_from_the_middle(folder):
    lm = textmill.load(folder, kv="f32")
    options = {"temperature": 1.0, "seed": 3, "ignore_eos": True}
    whole = lm.generate([1, 2, 3], max_tokens=20, **options).ids
    assert lm.generate([1, 2, 3, *whole[:8]], max_tokens=12, **options).ids == whole[8:]


def test_other_seeds_give_other_texts(folder):
    lm = textmill.load(folder)
    options = {"max_tokens": 20, "temperature": 1.0, "ignore_eos": True}
    assert len({tuple(lm.generate("a", seed=seed, **options).ids) for seed in range(10)}) == 10
    assert lm.generate("a", **options).ids != lm.generate("a", **options).ids  # no seed: a new one each time


def test_a_run_is_its_last_good_checkpoint(tmp_path, folder, config, model, tokenizer):
    def small_files(unfinished):
        huggingface.write_small_files(unfinished, config, tokenizer, add_bos_token=True)

    run = tmp_path / "runs" / "mine"
    for step in (1, 2):
        save_checkpoint(run, step, model=model.state_dict(), optimizer={}, state={}, write_small_files=small_files)
    (run / "checkpoints" / "step-00000002" / "model.safetensors").write_bytes(b"damaged")
    with pytest.warns(UserWarning, match="step-00000002/model.safetensors is damaged.*taking the checkpoint before it"):
        loaded = textmill.load(run)
    assert loaded.generate("a", max_tokens=5) == textmill.load(folder).generate("a", max_tokens=5)


def over_characters(folder):
    """A vocabulary as Llama 2's, whose last token is a special one, of which no text comes."""
    pieces = [("▁", -1.0, 1), ("a", -2.0, 1), ("▁a", -1.5, 1), ("<|im_end|>", 0.0, 3)]
    path = folder / "tokenizer.model"
    path.write_bytes(
        sentencepiece_models.model(
            [*sentencepiece_models.CONTROLS, *sentencepiece_models.BYTES, *pieces], byte_fallback=True
        )
    )
    return Tokenizer.load(path)


@pytest.mark.parametrize("over", ["bytes", "characters"])
def test_a_gguf_gives_what_the_folder_gives_whatever_pads_the_table(tmp_path, over):
    tokenizer = tiny_models.tokenizer() if over == "bytes" else over_characters(tmp_path)
    num_tokens = tokenizer.vocab_size
    sizes = tiny_models.config(vocab_size=num_tokens + 20, bos_token_id=1, eos_token_id=2)
    tensors = tiny_models.weights(sizes)
    rows = tensors["model.embed_tokens.weight" if sizes.tie_word_embeddings else "lm_head.weight"]
    rows[num_tokens:] *= 3  # likelier than any token, were they drawn
    save_model(tmp_path / "hf", sizes, tensors, tokenizer)
    convert(tmp_path / "hf", tmp_path / "x.gguf")
    options = {"max_tokens": 24, "ignore_eos": True, "logprobs": 3, "prompt_logprobs": True, "seed": 5}
    models = [textmill.load(path, kv="f32") for path in (tmp_path / "hf", tmp_path / "x.gguf")]
    for prompt, temperature in (("The quick", 0.0), ("The quick", 3.0), ([num_tokens, 5, num_tokens + 19], 3.0)):
        expected, found = (model.generate(prompt, temperature=temperature, **options) for model in models)
        assert found == expected  # ids, text and all log-probabilities
        assert max(found.ids) < num_tokens
    for model in models:
        assert model.generate("x", stop_ids=[num_tokens - 1], max_tokens=1)
        with pytest.raises(ConfigError, match=f"stop_ids has {num_tokens}, which is no token"):
            model.generate("x", stop_ids=[num_tokens])


class TestLongestContext:
    @pytest.mark.parametrize(
        ("scaling", "longest"),
        [
            (YarnScaling(factor=4.0, original_max_position_embeddings=64), 256),  # as Qwen2.5's card extends it
            (YarnScaling(factor=2.0, original_max_position_embeddings=16), 64),
            (YarnScaling(factor=1.7, original_max_position_embeddings=50), 85),
            (LinearScaling(factor=4.0), 64),  # says no length
            (
                Llama3Scaling(
                    factor=32.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64
                ),
                64,  # Llama 3.2 was trained on less than its factor times its original context
            ),
        ],
    )
    def test_is_what_the_scaling_says(self, folder, scaling, longest):
        scaled = dataclasses.replace(huggingface.load_config(folder), rope_scaling=scaling)
        (folder / "config.json").write_text(json.dumps(write_hf(scaled, "f32")))
        assert textmill.load(folder).context == longest
        assert textmill.load(folder, context=longest).generate("a" * (longest - 2), max_tokens=1, ignore_eos=True).ids
        with pytest.raises(ConfigError, match=f"context is {longest + 1}, and must be 1 to {longest}"):
            textmill.load(folder, context=longest + 1)


class TestRefusals:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"weights": "f23"}, 'did you mean "f32"'),
            ({"context": 65}, "context is 65, and must be 1 to 64"),
            ({"context": 0}, "1 to 64"),
            ({"threads": 0}, "threads is 0, and must be 1 to 1,024"),
            ({"kv_memory": 0}, "kv_memory is 0, and must be at least 1"),
            ({"kv": "f16"}, "kv is"),
            ({"context": 64, "kv_memory": 5000}, "context is 64, and there is memory for the keys and values of"),
            ({"device": "tpu7"}, 'device is "tpu7"'),
        ],
    )
    def test_options(self, folder, options, message):
        with pytest.raises(ConfigError, match=message):
            textmill.load(folder, **options)

    def test_a_model_that_is_not_there(self, tmp_path):
        with pytest.raises(DataError, match="does not exist"):
            textmill.load(tmp_path / "nothing")

    def test_a_missing_tokenizer(self, folder, monkeypatch):
        monkeypatch.undo()
        (folder / "tokenizer.json").unlink()
        with pytest.raises(DataError, match=r"tokenizer\.json does not exist"):
            textmill.load(folder)

    def test_nan_in_the_weights(self, folder, config, model, tokenizer):
        model.model.norm.weight.fill_(float("nan"))
        save_model(folder, config, model.state_dict(), tokenizer)
        with pytest.raises(DataError, match="not finite"):
            textmill.load(folder).generate("a")

    def test_a_shorter_context(self, folder):
        lm = textmill.load(folder, context=8)
        assert len(lm.generate("a", max_tokens=50, ignore_eos=True).ids) == 6
        with pytest.raises(ConfigError, match="the context is 8"):
            lm.logits(range(9))


@pytest.mark.peer
@pytest.mark.parametrize("tied", [True, False])
def test_greedy_text_equals_transformers(tmp_path, config, tokenizer, monkeypatch, tied):
    from transformers import AutoModelForCausalLM

    monkeypatch.setattr("textmill.checkpoint.huggingface_model.load_tokenizer", lambda folder, config: tokenizer)
    config = dataclasses.replace(config, tie_word_embeddings=tied, vocab_size=258)
    model = Llama(config).init_weights(2, residual="scaled")
    save_model(tmp_path / "model", config, model.state_dict(), tokenizer)
    ids = torch.tensor([[256, 5, 6, 7]])
    peer = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    expected = peer.generate(ids, max_new_tokens=40, do_sample=False, pad_token_id=0, attention_mask=ids >= 0)[0, 4:]
    expected = [token_id for token_id in expected.tolist() if token_id != 257]
    assert textmill.load(tmp_path / "model", kv="f32").generate(ids[0].tolist(), max_tokens=40).ids == expected
