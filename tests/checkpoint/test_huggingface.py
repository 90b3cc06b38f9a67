import dataclasses
import json

import numpy as np
import pytest
import torch

from model.families import FAMILIES
from textmill.base import safetensors
from textmill.base.errors import ConfigError, DataError, StorageError
from textmill.checkpoint.card import model_card
from textmill.checkpoint.describe import describe
from textmill.checkpoint.huggingface import (
    check_vocabularies,
    load_config,
    load_llama,
    load_tensors,
    save_model,
)
from textmill.checkpoint.stored_model import open_model
from textmill.checkpoint.tensors import as_numpy
from textmill.checkpoint.text_rules import load_text_rules
from textmill.model.attention import KVCache
from textmill.model.llama import Llama
from textmill.model.rope_scaling import LinearScaling

TOLERANCE = 1e-4  # sums of f32 products in two orders, on logits of about 10


@pytest.fixture
def saved(tmp_path, config, model, tokenizer):
    save_model(tmp_path / "model", config, model.state_dict(), tokenizer, add_bos_token=True)
    return tmp_path / "model"


def edit(path, **changes):
    table = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in table.items() if value is not None}))


def test_the_folder_holds_what_others_look_for(saved):
    assert sorted(path.name for path in saved.iterdir()) == [
        "README.md",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert safetensors.read_header(saved / "model.safetensors").metadata == {"format": "pt"}


def test_what_is_saved_is_loaded(saved, config, model):
    assert load_config(saved) == config
    loaded = load_llama(saved)
    assert all(torch.equal(tensor, loaded.state_dict()[name]) for name, tensor in model.state_dict().items())


def test_the_same_model_gives_the_same_bytes(tmp_path, saved, config, model, tokenizer):
    again = tmp_path / "again"
    save_model(again, config, dict(reversed(model.state_dict().items())), tokenizer, add_bos_token=True)
    assert {p.name: p.read_bytes() for p in again.iterdir()} == {p.name: p.read_bytes() for p in saved.iterdir()}


@pytest.mark.parametrize(("dtype", "name"), [(torch.bfloat16, "bfloat16"), (torch.float16, "float16")])
def test_weights_of_16_bits_are_kept(tmp_path, config, model, tokenizer, dtype, name):  # noqa: PLR0917  fixtures
    tensors = {key: tensor.to(dtype) for key, tensor in model.state_dict().items()}
    save_model(tmp_path / "model", config, tensors, tokenizer)
    assert json.loads((tmp_path / "model" / "config.json").read_text())["torch_dtype"] == name
    wide = load_tensors(tmp_path / "model", dtype="f32")
    assert all(np.array_equal(wide[key], tensor.float().numpy()) for key, tensor in tensors.items())


def greedy(model, ids_BT, num_new):
    """Go on from a prompt with a cache, token by token."""
    cache = KVCache(model.config, batch_size=1, capacity=ids_BT.shape[1] + num_new)
    new = ids_BT
    for _ in range(num_new):
        new = model(new, cache)[:, -1:].argmax(-1)
        ids_BT = torch.cat([ids_BT, new], dim=1)
    return ids_BT


@pytest.mark.peer
class TestTransformers:
    """Both ways: logits, greedy tokens, the tokenizer and its BOS."""

    def test_loads_what_we_save(self, saved, config, model):
        from transformers import AutoModelForCausalLM, AutoTokenizer

        peer = AutoModelForCausalLM.from_pretrained(saved)
        assert type(peer).__name__ == "LlamaForCausalLM"
        tokenizer = AutoTokenizer.from_pretrained(saved)
        ids = tokenizer("Mühle", return_tensors="pt")["input_ids"]
        assert ids.tolist() == [[256, *"Mühle".encode()]]
        assert tokenizer.model_max_length == config.max_position_embeddings
        assert tokenizer.decode(ids[0, 1:]) == "Mühle"
        with torch.no_grad():
            assert (peer(ids).logits - model(ids)).abs().max() < TOLERANCE
            greedy = peer.generate(ids, max_new_tokens=20, do_sample=False, pad_token_id=0, attention_mask=ids >= 0)
        ours = ids
        while ours.shape[1] < greedy.shape[1]:
            ours = torch.cat([ours, model(ours)[:, -1:].argmax(-1)], dim=1)
        assert ours.tolist() == greedy.tolist()
        assert peer.generation_config.eos_token_id == [256, 257]

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["f32", "bf16"])
    @pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
    def test_saves_what_we_load(self, tmp_path, dtype, tied):
        from transformers import LlamaConfig, LlamaForCausalLM

        peer_config = LlamaConfig(
            vocab_size=64,
            hidden_size=32,
            intermediate_size=40,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=1,
            tie_word_embeddings=tied,
            rope_theta=123_456.0,
            initializer_range=0.2,
        )
        torch.manual_seed(1)
        LlamaForCausalLM(peer_config).to(dtype).save_pretrained(tmp_path)
        peer = LlamaForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
        config = load_config(tmp_path)
        assert (config.rope_theta, config.tie_word_embeddings, config.head_dim) == (123_456.0, tied, 8)
        ids = torch.arange(30)[None]
        with torch.no_grad():
            assert (load_llama(tmp_path)(ids) - peer(ids).logits).abs().max() < TOLERANCE

    @pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
    def test_every_family_goes_there_and_back(self, tmp_path, config, tokenizer, family):
        from transformers import AutoModelForCausalLM

        config = dataclasses.replace(config, num_hidden_layers=3, eos_token_id=None, **family)
        model = Llama(config).init_weights(1, residual="scaled").requires_grad_(False)
        for name, parameter in model.named_parameters():
            parameter += 0.1 if name.endswith(".bias") else 0.0
        save_model(tmp_path / "ours", config, model.state_dict(), tokenizer)
        peer = AutoModelForCausalLM.from_pretrained(tmp_path / "ours")
        assert type(peer).__name__ == json.loads((tmp_path / "ours" / "config.json").read_text())["architectures"][0]
        prompt = torch.arange(30)[None]
        theirs = peer.generate(
            prompt, max_new_tokens=20, do_sample=False, pad_token_id=0, attention_mask=torch.ones_like(prompt)
        )
        assert theirs.tolist() == greedy(model, prompt, 20).tolist()
        peer.save_pretrained(tmp_path / "theirs")
        assert load_config(tmp_path / "theirs") == config
        with torch.no_grad():
            assert (load_llama(tmp_path / "theirs")(theirs) - peer(theirs).logits).abs().max() < TOLERANCE

    def test_shards_are_read_together(self, tmp_path, config):
        from transformers import LlamaConfig, LlamaForCausalLM

        peer = LlamaForCausalLM(LlamaConfig(**config.to_hf())).eval()
        peer.save_pretrained(tmp_path, max_shard_size="20KB")
        assert len(list(tmp_path.glob("*.safetensors"))) > 2
        loaded = load_tensors(tmp_path)
        assert all(np.array_equal(loaded[name], tensor.numpy()) for name, tensor in peer.state_dict().items())


class TestDamage:
    def test_a_missing_file_is_named(self, saved):
        (saved / "model.safetensors").unlink()
        with pytest.raises(DataError, match=r"model\.safetensors does not exist"):
            load_tensors(saved)
        (saved / "config.json").unlink()
        with pytest.raises(DataError, match=r"config\.json does not exist"):
            load_tensors(saved)

    def test_a_truncated_file_is_named(self, saved):
        path = saved / "model.safetensors"
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(DataError, match=r"model\.safetensors.*truncated"):
            load_tensors(saved)

    def rewrite(self, saved, **changes):
        tensors = {name: array.copy() for name, array in safetensors.load(saved / "model.safetensors").items()}
        tensors = {name: array for name, array in (tensors | changes).items() if array is not None}
        safetensors.save(saved / "model.safetensors", tensors)

    def test_a_missing_tensor_is_named(self, saved):
        self.rewrite(saved, **{"model.norm.weight": None})
        with pytest.raises(DataError, match=r"lacks model\.norm\.weight"):
            load_tensors(saved)

    def test_an_unexpected_tensor_is_named(self, saved):
        self.rewrite(saved, **{"model.layers.0.self_attn.q_proj.bias": np.zeros(32, np.float32)})
        with pytest.raises(DataError, match=r"q_proj\.bias, for which"):
            load_tensors(saved)

    def test_both_shapes_are_named(self, saved):
        self.rewrite(saved, **{"model.norm.weight": np.zeros(31, np.float32)})
        with pytest.raises(DataError, match=r"model\.norm\.weight as \[31\].*\[32\]"):
            load_tensors(saved)

    def test_whole_numbers_are_no_weights(self, saved):
        self.rewrite(saved, **{"model.norm.weight": np.zeros(32, np.int8)})
        with pytest.raises(DataError, match="int8"):
            load_tensors(saved)

    def test_frequencies_of_old_conversions_are_passed_over(self, saved):
        self.rewrite(saved, **{"model.layers.0.self_attn.rotary_emb.inv_freq": np.zeros(4, np.float32)})
        assert "inv_freq" not in "".join(load_tensors(saved))

    def test_a_shard_that_is_missing_is_named(self, saved):
        (saved / "model.safetensors").rename(saved / "a.safetensors")
        index = {"weight_map": dict.fromkeys(safetensors.read_header(saved / "a.safetensors").tensors, "b.safetensors")}
        (saved / "model.safetensors.index.json").write_text(json.dumps(index))
        with pytest.raises(DataError, match=r"b\.safetensors does not exist"):
            load_tensors(saved)

    def test_an_index_that_lies_is_named(self, saved):
        (saved / "model.safetensors").rename(saved / "a.safetensors")
        index = {"weight_map": {"model.norm.weight": "a.safetensors", "model.more.weight": "a.safetensors"}}
        (saved / "model.safetensors.index.json").write_text(json.dumps(index))
        with pytest.raises(DataError, match=r"a\.safetensors holds model\.more\.weight, and it does not"):
            load_tensors(saved)

    def test_two_tables_that_should_be_one(self, saved):
        edit(saved / "config.json", tie_word_embeddings=True)
        with pytest.raises(DataError, match="tie_word_embeddings"):
            load_tensors(saved)
        self.rewrite(
            saved, **{"lm_head.weight": safetensors.load(saved / "model.safetensors")["model.embed_tokens.weight"]}
        )
        assert "lm_head.weight" not in load_tensors(saved)

    def test_a_model_is_described_without_a_look_at_its_weights(self, saved):
        """Two tables that differ are found when weights are read, and not before."""
        edit(saved / "config.json", tie_word_embeddings=True)
        found = describe(saved)
        assert found.config is not None
        assert found.refusal is None
        with pytest.raises(DataError, match="tie_word_embeddings"):
            open_model(saved)


class TestVocabularies:
    def test_both_numbers_are_said(self, config, tokenizer):
        tokenizer.vocab_size = 261
        with pytest.raises(DataError, match=r"260 rows.*261 tokens"):
            check_vocabularies(config, tokenizer, "here")

    def test_padding_is_no_disagreement(self, config, tokenizer):
        check_vocabularies(config, tokenizer, "here")
        tokenizer.vocab_size = 258

    def test_rows_in_reserve_are_none_either(self, config, tokenizer):
        """DeepSeek-LLM-7B: 102,400 rows for 100,015 tokens."""
        tokenizer.vocab_size = 100_015
        check_vocabularies(dataclasses.replace(config, vocab_size=102_400), tokenizer, "here")

    def test_the_tokenizer_of_another_model_is(self, config, tokenizer):
        with pytest.raises(DataError, match=r"49,152 rows.*258 tokens"):
            check_vocabularies(dataclasses.replace(config, vocab_size=49_152), tokenizer, "here")

    def test_a_folder_is_not_written_with_both(self, tmp_path, config, model, tokenizer):
        tokenizer.vocab_size = 300
        with pytest.raises(DataError):
            save_model(tmp_path / "model", config, model.state_dict(), tokenizer)
        assert not list(tmp_path.iterdir())


class TestTextRules:
    def rules(self, saved, tokenizer):
        return load_text_rules(saved, load_config(saved), tokenizer)

    def test_every_end_that_a_file_names_stops(self, saved, tokenizer):
        assert self.rules(saved, tokenizer).stop_ids == {256, 257}
        edit(saved / "config.json", eos_token_id=3)
        edit(saved / "generation_config.json", eos_token_id=[4, 5])
        assert self.rules(saved, tokenizer).stop_ids == {3, 4, 5, 256}
        edit(saved / "tokenizer_config.json", eos_token={"content": "<|end|>", "special": True})
        assert self.rules(saved, tokenizer).stop_ids == {3, 4, 5, 257}
        edit(saved / "generation_config.json", eos_token_id="x")
        with pytest.raises(DataError, match=r"generation_config\.json: eos_token_id"):
            self.rules(saved, tokenizer)

    def test_a_bos_is_added_where_the_files_say_so(self, saved, tokenizer):
        rules = self.rules(saved, tokenizer)
        assert (rules.prefix_ids, rules.bos_token_id) == ((256,), 256)
        edit(saved / "tokenizer_config.json", add_bos_token=False)
        rules = self.rules(saved, tokenizer)
        assert (rules.prefix_ids, rules.bos_token_id) == ((), 256)

    def test_the_tokenizers_own_counts_where_the_key_is_absent(self, saved, tokenizer):
        edit(saved / "tokenizer_config.json", add_bos_token=None)
        assert self.rules(saved, tokenizer).prefix_ids == ()
        tokenizer.prefix_ids = (257,)
        rules = self.rules(saved, tokenizer)
        assert (rules.prefix_ids, rules.bos_token_id) == ((257,), 257)
        edit(saved / "tokenizer_config.json", add_bos_token=False)
        assert self.rules(saved, tokenizer).prefix_ids == ()

    def test_a_bos_that_the_tokenizer_adds_itself_is_not_doubled(self, tmp_path, saved, config, model, tokenizer):
        text = (saved / "tokenizer.json").read_text()
        tokenizer.save = lambda path: path.write_text(text)
        tokenizer.prefix_ids = (256,)
        for add_bos_token in (True, False):
            folder = tmp_path / str(add_bos_token)
            save_model(folder, config, model.state_dict(), tokenizer, add_bos_token=add_bos_token)
            assert (folder / "tokenizer.json").read_text() == text
            assert self.rules(folder, tokenizer).prefix_ids == (256,)
        other = dataclasses.replace(config, bos_token_id=257)
        with pytest.raises(DataError, match=r"tokens \[256\].*bos_token_id is 257"):
            save_model(tmp_path / "other", other, model.state_dict(), tokenizer, add_bos_token=True)

    def test_a_bos_that_nobody_names(self, saved, tokenizer):
        edit(saved / "tokenizer_config.json", bos_token=None)
        edit(saved / "config.json", bos_token_id=None)
        with pytest.raises(DataError, match="bos_token"):
            self.rules(saved, tokenizer)


class TestSave:
    def test_a_failure_leaves_the_old_folder(self, saved, config, model, tokenizer, monkeypatch):
        before = {path.name: path.read_bytes() for path in saved.iterdir()}

        def fail(path):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(tokenizer, "save", fail, raising=False)
        with pytest.raises(StorageError):
            save_model(saved, config, model.state_dict(), tokenizer, card="new")
        assert {path.name: path.read_bytes() for path in saved.iterdir()} == before
        assert [path.name for path in saved.parent.iterdir()] == ["model"]

    @pytest.mark.parametrize("other", ["notes.md", "checkpoints/"])
    def test_what_is_no_model_is_not_replaced(self, saved, config, model, tokenizer, other):
        (saved / other).mkdir() if other.endswith("/") else (saved / other).write_text("mine")
        with pytest.raises(ConfigError, match=f"holds {other.rstrip('/')}, which is no part of a model"):
            save_model(saved, config, model.state_dict(), tokenizer)
        assert (saved / other).exists()

    def test_an_older_model_is(self, saved, config, model, tokenizer):
        (saved / "chat_template.jinja").write_text("old")
        save_model(saved, config, model.state_dict(), tokenizer)
        assert not (saved / "chat_template.jinja").exists()

    def test_another_models_tensors_are_refused(self, tmp_path, config, model, tokenizer):
        tensors = dict(model.state_dict())
        del tensors["model.norm.weight"]
        with pytest.raises(DataError, match=r"lacks model\.norm\.weight"):
            save_model(tmp_path / "model", config, tensors, tokenizer)

    def test_mixed_dtypes_are_refused(self, tmp_path, config, model, tokenizer):
        tensors = model.state_dict() | {"model.norm.weight": torch.ones(32, dtype=torch.bfloat16)}
        with pytest.raises(DataError, match="in one of f32, f16 and bf16"):
            save_model(tmp_path / "model", config, tensors, tokenizer)

    def test_the_card_names_the_family(self, config):
        smollm3 = dataclasses.replace(
            config, model_type="smollm3", nope_layers=(0,), sliding_window=8, sliding_layers=(0,)
        )
        scaled = dataclasses.replace(config, rope_scaling=LinearScaling(factor=4.0))
        assert "tags: [smollm3, textmill]" in model_card(smollm3)
        assert "loads in transformers as `SmolLM3ForCausalLM`" in model_card(smollm3)
        assert "| sliding window | 8 tokens, in 1 of 2 layers |" in model_card(smollm3)
        assert "| layers without RoPE | 1 |" in model_card(smollm3)
        assert "| RoPE scaling | linear, by a factor of 4 |" in model_card(scaled)
        assert "window" not in model_card(scaled)

    def test_the_card_and_more_generation_keys(self, tmp_path, config, model, tokenizer):
        folder = tmp_path / "model"
        save_model(folder, config, model.state_dict(), tokenizer, generation={"temperature": 0.7}, card="# Mine\n")
        assert (folder / "README.md").read_text() == "# Mine\n"
        assert json.loads((folder / "generation_config.json").read_text())["temperature"] == 0.7

    def test_arrays_do_as_well_as_tensors(self, tmp_path, config, model, tokenizer, saved):
        arrays = {name: as_numpy(tensor) for name, tensor in model.state_dict().items()}
        save_model(tmp_path / "arrays", config, arrays, tokenizer)
        assert (tmp_path / "arrays" / "model.safetensors").read_bytes() == (saved / "model.safetensors").read_bytes()
