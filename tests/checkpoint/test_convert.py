"""Models converted there and back: the same bytes, the same tokens, and whole or absent."""

import dataclasses
import json
import shutil
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from checkpoint.tiny_models import as_float32, config, tokenizer, weights, write_folder
from model.families import FAMILIES, configs
from textmill import Tokenizer
from textmill.base import gguf_writer, safetensors
from textmill.base.errors import ConfigError, DataError
from textmill.base.gguf import read_header
from textmill.base.gguf_blocks import WRITABLE
from textmill.base.gguf_writer import TensorToWrite
from textmill.checkpoint.convert import convert
from textmill.checkpoint.converted_tensor import read_values
from textmill.checkpoint.huggingface import load_config, load_tensors, save_model
from textmill.checkpoint.key_value_heads import pooled
from textmill.checkpoint.stored_model import open_model
from textmill.model.rope_scaling import YarnScaling

TEXTS = ["Hello, world! 12345 it's", " naïve\r\n\n 中文 ½ 🤖👩‍👩‍👧", "\t<|im_end|> x  \n", "e\u0301ЖЖ ٣٤"]
# Sizes that fill blocks of 32, or do not.
ROWS = [(64, 96, 16), (96, 80, 32), (60, 44, 20)]


def models():
    """Any family in sizes that fit the tiny tokenizer."""
    return st.tuples(configs(), st.sampled_from(ROWS)).map(
        lambda drawn: dataclasses.replace(
            drawn[0],
            vocab_size=300,
            hidden_size=drawn[1][0] if drawn[1][0] % drawn[0].num_attention_heads == 0 else 36,
            intermediate_size=drawn[1][1],
            head_dim=drawn[1][2],
        )
    )


def write(folder, sizes, dtype="f32"):
    if folder.exists():
        shutil.rmtree(folder)
    return write_folder(folder, sizes, dtype=dtype)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("convert")


@given(sizes=models())
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
def test_a_folder_comes_back_from_gguf_byte_for_byte(place, sizes):
    for old in place.iterdir():
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    folder = write(place / "hf", sizes)
    try:
        notes = convert(folder, place / "x.gguf", type="f32")
    except ConfigError:  # what GGUF cannot say; nothing is left behind
        assert [path.name for path in place.iterdir()] == ["hf"]
        return
    said = " ".join(notes)
    assert ("tokens back" in said) == (sizes.sliding_window is not None)
    scaling = sizes.rope_scaling
    betas = (scaling.beta_fast, scaling.beta_slow) if isinstance(scaling, YarnScaling) else (32, 1)
    assert ("beta_fast" in said) == (betas != (32, 1))
    convert(place / "x.gguf", place / "back")
    assert (place / "back" / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
    back = load_config(place / "back")
    assert back.tensor_shapes() == sizes.tensor_shapes()
    loaded = Tokenizer.load(place / "back")
    for text in TEXTS:
        assert loaded.encode(text, special="parse") == tokenizer().encode(text, special="parse")
    assert loaded.chat_template == tokenizer().chat_template


@pytest.mark.parametrize("dtype", ["f32", "f16", "bf16"])
def test_a_type_is_kept_unless_another_is_asked_for(tmp_path, dtype):
    """Norms are F32 in a GGUF; a folder made of it is in the smallest type that holds all of it."""
    folder = write_folder(tmp_path / "hf", dtype=dtype)
    convert(folder, tmp_path / "x.gguf")
    kinds = {name: tensor.type for name, tensor in open_model(tmp_path / "x.gguf").tensors.items()}
    assert set(kinds.values()) == {"F32", dtype.upper()}
    assert all((kind == "F32") == name.endswith("norm.weight") or dtype == "f32" for name, kind in kinds.items())
    convert(tmp_path / "x.gguf", tmp_path / "back")
    assert (tmp_path / "back/model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
    assert load_config(tmp_path / "back") == load_config(folder)


@pytest.mark.peer
@pytest.mark.parametrize("kind", WRITABLE)
def test_what_is_written_is_what_the_package_gguf_makes_of_it(tmp_path, kind):
    """The file holds, in llama.cpp's order of rows, the very bytes that its own quantiser gives."""
    sizes = config(intermediate_size=80)
    folder = write_folder(tmp_path / "hf", sizes)
    notes = convert(folder, tmp_path / "x.gguf", type=kind.lower())
    source = load_tensors(folder)
    wide = {"attn_q": 4, "attn_k": 2}
    read = {tensor.name: tensor for tensor in gguf.GGUFReader(tmp_path / "x.gguf").tensors}
    for name, ours in (("token_embd", "model.embed_tokens"), ("blk.2.ffn_down", "model.layers.2.mlp.down_proj")):
        expected = source[f"{ours}.weight"]
        theirs = read[f"{name}.weight"]
        if name == "token_embd" and kind == "Q4_0":
            assert theirs.tensor_type.name == "Q8_0"
        elif kind in {"Q8_0", "Q4_0"} and expected.shape[1] % 32:
            assert theirs.tensor_type.name == "F16"
        else:
            assert theirs.tensor_type.name == kind
        data = gguf.quants.quantize(expected, theirs.tensor_type)
        assert np.asarray(theirs.data).tobytes() == np.ascontiguousarray(data).tobytes()
    for name, heads in wide.items():
        weight = source[f"model.layers.1.self_attn.{name[-1]}_proj.weight"]
        permuted = weight.reshape(heads, 2, weight.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(weight.shape)
        theirs = read[f"blk.1.{name}.weight"]
        data = gguf.quants.quantize(np.ascontiguousarray(permuted), gguf.GGMLQuantizationType[kind])
        assert np.asarray(theirs.data).tobytes() == np.ascontiguousarray(data).tobytes()
    expected = [
        f"3 matrices whose rows blocks of {kind.lower()} do not fill are f16, such as "
        "model.layers.0.mlp.down_proj.weight with rows of 80",
        "model.embed_tokens.weight and lm_head.weight are q8_0: every token passes through a table, and four bits "
        "would lose much",
    ]
    assert notes == expected[: {"Q8_0": 1, "Q4_0": 2}.get(kind, 0)]


@pytest.mark.parametrize("kind", ["q8_0", "q4_0", None])
def test_blocks_are_copied_as_they_are(tmp_path, kind):
    """From GGUF to GGUF in the same type nothing is rounded again, and a folder in f32 holds it exactly."""
    folder = write_folder(tmp_path / "hf", dtype="bf16")
    convert(folder, tmp_path / "a.gguf", type=kind)
    convert(tmp_path / "a.gguf", tmp_path / "b.gguf", type=kind)
    convert(tmp_path / "b.gguf", tmp_path / "c.gguf")
    assert (tmp_path / "a.gguf").read_bytes() == (tmp_path / "b.gguf").read_bytes()
    assert (tmp_path / "a.gguf").read_bytes() == (tmp_path / "c.gguf").read_bytes()
    convert(tmp_path / "a.gguf", tmp_path / "back")
    stored = open_model(tmp_path / "a.gguf")
    for name, array in load_tensors(tmp_path / "back").items():
        assert np.array_equal(as_float32(array), read_values(stored.tensors[name]))


@pytest.mark.peer
@pytest.mark.parametrize("name", [name for name in FAMILIES if name not in {"qwen3-all", "smollm3", "smollm3-window"}])
def test_transformers_runs_what_comes_out_of_a_gguf(tmp_path, name):
    """The folder made of a GGUF gives transformers' own logits of the folder that the GGUF was made of."""
    from transformers import AutoModelForCausalLM

    sizes = config(**{"max_position_embeddings": 64, "intermediate_size": 96} | FAMILIES[name])
    folder = write_folder(tmp_path / "hf", sizes)
    convert(folder, tmp_path / "x.gguf")
    convert(tmp_path / "x.gguf", tmp_path / "back")
    ids = torch.tensor([np.random.default_rng(1).integers(0, 300, 40).tolist()])
    with torch.no_grad():
        logits = [
            AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation="eager")(ids).logits
            for path in (folder, tmp_path / "back")
        ]
    # Frequencies of Llama 3's scaling are found again to 1e-5; all else is the same arithmetic.
    assert torch.allclose(*logits, rtol=0, atol=2e-3 if name == "llama-3.1" else 1e-5)


@pytest.mark.peer
def test_transformers_gives_the_same_tokens_and_chats(tmp_path):
    from transformers import AutoTokenizer

    folder = write_folder(tmp_path / "hf", config(eos_token_id=(2, 0)), add_bos_token=True)
    convert(folder, tmp_path / "x.gguf")
    convert(tmp_path / "x.gguf", tmp_path / "back")
    before, after = (AutoTokenizer.from_pretrained(path) for path in (folder, tmp_path / "back"))
    for text in TEXTS:
        assert before(text).input_ids == after(text).input_ids
    messages = [{"role": "user", "content": "How now?"}]
    rendered = [each.apply_chat_template(messages, tokenize=False) for each in (before, after)]
    assert rendered[0] == rendered[1]
    assert (before.bos_token, before.eos_token) == (after.bos_token, after.eos_token)
    assert load_config(tmp_path / "back").eos_token_ids == (2, 0)


@given(
    groups=st.integers(1, 4), per_group=st.integers(1, 4), head_dim=st.integers(1, 5), rest=st.sampled_from([(), (3,)])
)
def test_heads_are_the_means_of_their_groups(groups, per_group, head_dim, rest):
    rng = np.random.default_rng(head_dim)
    values = rng.normal(size=(groups * per_group * head_dim, *rest)).astype(np.float32)
    found = pooled(values, groups, head_dim)
    for group in range(groups):
        heads = [
            values[(group * per_group + place) * head_dim :][:head_dim].astype(np.float64) for place in range(per_group)
        ]
        expected = (sum(heads) / per_group).astype(np.float32)
        assert np.allclose(found[group * head_dim :][:head_dim], expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("heads", [1, 2, 4])
@pytest.mark.parametrize("suffix", [".gguf", ""])
def test_pooling_equal_heads_changes_no_logits(tmp_path, heads, suffix):
    """Four key-value heads that are alike in each group: the mean is each of them, biases and norms included."""
    from textmill.checkpoint.huggingface import load_llama

    sizes = config(num_key_value_heads=4, model_type="qwen2", qkv_bias=True)
    tensors = weights(sizes)
    for name, tensor in tensors.items():
        if "k_proj" in name or "v_proj" in name:
            alike = tensor.reshape(heads, 4 // heads, 16, *tensor.shape[1:])
            alike[:] = alike[:, :1]
    save_model(tmp_path / "hf", sizes, tensors, tokenizer())
    target = tmp_path / f"pooled{suffix}"
    convert(tmp_path / "hf", target, num_key_value_heads=heads)
    if suffix:
        convert(target, tmp_path / "pooled")
    assert load_config(tmp_path / "pooled").num_key_value_heads == heads
    assert Tokenizer.load(tmp_path / "pooled").encode("Hello") == tokenizer().encode("Hello")
    ids = torch.tensor([[5, 9, 100, 7, 7, 299]])
    with torch.no_grad():
        before, after = (load_llama(tmp_path / name)(ids) for name in ("hf", "pooled"))
    assert torch.allclose(before, after, rtol=0, atol=1e-5)


def test_heads_that_cannot_be_pooled(tmp_path):
    folder = write_folder(tmp_path / "hf", config(num_attention_heads=6, num_key_value_heads=6, hidden_size=96))
    for heads in (4, 0, -1, 12):
        with pytest.raises(ConfigError, match=rf"6 key-value heads, .* into {heads}: .* one of 1, 2, 3, 6"):
            convert(folder, tmp_path / "out", num_key_value_heads=heads)
    assert [path.name for path in tmp_path.iterdir()] == ["hf"]


def test_heads_of_a_quantised_file_are_pooled(tmp_path):
    """In a type that cannot be written the new heads are F16; the rest keeps its blocks."""
    folder = write_folder(tmp_path / "hf")
    convert(folder, tmp_path / "a.gguf", type="q8_0")
    convert(tmp_path / "a.gguf", tmp_path / "b.gguf", num_key_value_heads=1)
    before, after = open_model(tmp_path / "a.gguf"), open_model(tmp_path / "b.gguf")
    assert after.config == dataclasses.replace(before.config, num_key_value_heads=1)
    for name, tensor in after.tensors.items():
        if "k_proj" not in name and "v_proj" not in name:
            assert tensor.data.tobytes() == before.tensors[name].data.tobytes()
        else:
            expected = pooled(read_values(before.tensors[name]), 1, 16)
            assert tensor.type == "Q8_0"
            assert np.allclose(read_values(tensor), expected, atol=np.abs(expected).max() / 200)


def test_heads_in_a_type_that_cannot_be_written_are_said_to_be_f16(tmp_path):
    """Q4_1 has no quantiser here: pooled heads of such a file are F16 unless a type is asked for."""
    folder = write_folder(tmp_path / "hf")
    convert(folder, tmp_path / "a.gguf", type="q8_0")
    header = read_header(tmp_path / "a.gguf")
    tensors = []
    for name, info in header.tensors.items():
        kind = "Q4_1" if "attn_k" in name or "attn_v" in name else info.type.name
        data = np.fromfile(tmp_path / "a.gguf", np.uint8, info.end - info.start, offset=info.start)
        data = np.zeros(info.shape[0] * info.shape[1] // 32 * 20, np.uint8) if kind == "Q4_1" else data
        tensors.append(TensorToWrite(name, kind, info.shape, lambda data=data: data))
    gguf_writer.save(tmp_path / "b.gguf", header.values, tensors)
    assert convert(tmp_path / "b.gguf", tmp_path / "same.gguf") == []
    (note,) = convert(tmp_path / "b.gguf", tmp_path / "c.gguf", num_key_value_heads=1)
    assert note == (
        "6 matrices of pooled heads are f16, such as model.layers.0.self_attn.k_proj.weight: they were q4_1, and new "
        f"values are written as {', '.join(WRITABLE).lower()}. --type names one for all matrices"
    )
    assert open_model(tmp_path / "c.gguf").tensors["model.layers.0.self_attn.k_proj.weight"].type == "F16"
    assert convert(tmp_path / "b.gguf", tmp_path / "d.gguf", num_key_value_heads=1, type="q8_0") == []


def test_other_small_files_of_a_folder_come_along(tmp_path):
    folder = write_folder(tmp_path / "hf", generation={"temperature": 0.2})
    (folder / "README.md").write_text("mine")
    (folder / "LICENSE").write_text("free")
    (folder / "NOTICE").write_text("thanks")
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "tools.jinja").write_text("{{ tools }}")
    of_the_source = {
        "pytorch_model.bin",
        "pytorch_model.bin.index.json",
        "fetched.json",
        "state.json",
        "sha256.json",
        "optimizer.safetensors",
    }
    for name in of_the_source:
        (folder / name).write_text("{}")
    table = json.loads((folder / "config.json").read_text()) | {"pad_token_id": 2}
    (folder / "config.json").write_text(json.dumps(table))
    convert(folder, tmp_path / "out", type="bf16")
    names = {path.relative_to(folder) for path in folder.rglob("*")} - set(map(Path, of_the_source))
    assert {path.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("*")} == names
    for name in names - {Path("config.json"), Path("model.safetensors"), Path("additional_chat_templates")}:
        assert (tmp_path / "out" / name).read_bytes() == (folder / name).read_bytes()
    after = json.loads((tmp_path / "out/config.json").read_text())
    assert (after.pop("torch_dtype"), table.pop("torch_dtype")) == ("bfloat16", "float32")
    assert after.pop("dtype", "") == table.pop("dtype", "").replace("float32", "bfloat16")
    assert after == table
    found = safetensors.load(tmp_path / "out/model.safetensors")
    assert all(array.dtype == safetensors.BFLOAT16 for array in found.values())


def test_what_is_there_is_not_lost(tmp_path):
    folder = write_folder(tmp_path / "hf")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    (tmp_path / "text.gguf").write_text("mine")
    (tmp_path / "folder.gguf").mkdir()
    (tmp_path / "empty").mkdir()
    for target, message in [
        (folder, "is the model itself"),
        (tmp_path / "notes", "is there already and is not empty"),
        (tmp_path / "notes" / "mine.txt", "is there already"),
        (tmp_path / "text.gguf", "is there already, and is no GGUF file"),
        (tmp_path / "folder.gguf", "is there already, and is no GGUF file"),
    ]:
        with pytest.raises(ConfigError, match=message):
            convert(folder, target)
    assert (tmp_path / "notes" / "mine.txt").read_text() == (tmp_path / "text.gguf").read_text() == "mine"
    convert(folder, tmp_path / "empty")
    convert(folder, tmp_path / "x.gguf", type="f16")
    convert(folder, tmp_path / "x.gguf", type="q8_0")
    assert read_header(tmp_path / "x.gguf").values["general.file_type"] == 7
    with pytest.raises(ConfigError, match="is the model itself"):
        convert(tmp_path / "x.gguf", tmp_path / "hf" / ".." / "x.gguf")


@pytest.mark.parametrize(
    ("target", "kind", "message"),
    [("out", "q8_0", 'folder cannot hold "q8_0"; the types are f32, f16, bf16'), ("x.gguf", "q4_k", "q4_0")],
)
def test_types_that_cannot_be_written(tmp_path, target, kind, message):
    folder = write_folder(tmp_path / "hf")
    with pytest.raises(ConfigError, match=message):
        convert(folder, tmp_path / target, type=kind)


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        (np.nan, "bf16", "no finite number"),
        (np.inf, "q8_0", "no finite number"),
        (7e4, "f16", "holds a value of 70000, and f16 holds up to 65504. Take bf16"),
        (1e6, "q4_0", "holds a value of 1e[+]06, and q4_0 holds up to 524032"),
    ],
)
@pytest.mark.parametrize("target", ["x.gguf", "out"])
def test_values_that_do_not_fit_leave_nothing_behind(tmp_path, value, kind, message, target):
    if target == "out" and kind.startswith("q"):
        return
    sizes = config()
    tensors = weights(sizes)
    tensors["model.layers.1.mlp.up_proj.weight"][3, 5] = value
    save_model(tmp_path / "hf", sizes, tensors, tokenizer())
    with pytest.raises(DataError, match=f"up_proj.weight .*{message}"):
        convert(tmp_path / "hf", tmp_path / target, type=kind)
    assert [path.name for path in tmp_path.iterdir()] == ["hf"]


def test_stopped_in_the_middle_nothing_is_there(tmp_path):
    folder = write_folder(tmp_path / "hf")

    def stop(done, note):
        if done == 5:
            raise KeyboardInterrupt

    for target in ("x.gguf", "out"):
        with pytest.raises(KeyboardInterrupt):
            convert(folder, tmp_path / target, progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["hf"]
    seen = []
    convert(folder, tmp_path / "x.gguf", progress=lambda done, note: seen.append((done, note)))
    assert seen == [(done, f"{done} of 30 tensors") for done in range(1, 31)]


@pytest.mark.parametrize(
    ("pattern", "pre"),
    [
        ("smollm", "smollm"),
        ("gpt2", "gpt-2"),
        ("cl100k", "dbrx"),
        ("deepseek-v3", "deepseek-v3"),
        ("o200k", "gpt-4o"),
        ("tekken", "tekken"),
    ],
)
def test_patterns_have_their_names(tmp_path, pattern, pre):
    folder = write_folder(tmp_path / "hf", pattern=pattern)
    notes = convert(folder, tmp_path / "x.gguf")
    assert read_header(tmp_path / "x.gguf").values["tokenizer.ggml.pre"] == pre
    assert len(notes) == (pattern in {"o200k", "tekken"})
    loaded = Tokenizer.load(tmp_path / "x.gguf")
    for text in TEXTS:
        assert loaded.encode(text) == tokenizer(pattern).encode(text)


def test_whole_pieces_that_merges_do_not_reach(tmp_path):
    """GGUF's "tekken" takes whole pieces first: the same only where merging would come to each token, too."""
    vocabulary = tokenizer("tekken").vocabulary
    unreached = dataclasses.replace(vocabulary, merges=vocabulary.merges[:-1])
    sizes = config()
    save_model(tmp_path / "hf", sizes, weights(sizes), Tokenizer(unreached))
    with pytest.raises(ConfigError, match='as GGUF\'s "tekken" does, .* whole_pieces = False'):
        convert(tmp_path / "hf", tmp_path / "x.gguf")


@pytest.mark.parametrize("pattern", ["char", "nanochat", r"\w+|\W+"])
def test_a_pattern_without_a_name_is_refused(tmp_path, pattern):
    folder = write_folder(tmp_path / "hf", pattern=pattern)
    with pytest.raises(ConfigError, match="no pre-tokenizer that GGUF knows by name splits alike"):
        convert(folder, tmp_path / "x.gguf")
    with pytest.raises(ConfigError, match="GGUF"):
        convert(folder, tmp_path / "x.gguf", type="q8_0")
    assert [path.name for path in tmp_path.iterdir()] == ["hf"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "smollm3", "nope_layers": (1,)}, r"layers without RoPE are \[1\]"),
        (
            {"model_type": "qwen3", "qk_norm": True, "qkv_bias": True, "o_bias": True},
            "has biases, .* from a qwen3 GGUF",
        ),
        ({"model_type": "smollm3", "mlp_bias": True}, "has biases, .* from a smollm3 GGUF"),
        ({"qkv_bias": True, "o_bias": True, "head_dim": 32}, "biases and heads that are together wider or narrower"),
        (
            {"model_type": "qwen3", "qk_norm": True, "rope_scaling": FAMILIES["llama-3.1"]["rope_scaling"]},
            "Llama 3's scaling of RoPE, .* from a qwen3 GGUF",
        ),
        ({"rope_scaling": FAMILIES["qwen3-all"]["rope_scaling"]}, "attention factor of 1.3"),
        ({"rope_scaling": YarnScaling(factor=2.0, original_max_position_embeddings=6)}, "less than 7 llama.cpp"),
        ({"rope_scaling": YarnScaling(factor=2.0, original_max_position_embeddings=64, truncate=False)}, "truncate"),
    ],
)
def test_models_that_gguf_cannot_say_are_refused(tmp_path, changes, message):
    folder = write_folder(tmp_path / "hf", config(**changes))
    with pytest.raises(ConfigError, match=message):
        convert(folder, tmp_path / "x.gguf")


@pytest.mark.parametrize("target", ["x.gguf", "folder"])
def test_a_model_that_is_textmills_own_is_refused(tmp_path, target):
    own = config(model_type="textmill", value_embeddings=True)
    folder = write_folder(tmp_path / "hf", own)
    with pytest.raises(ConfigError, match=r'value embeddings runs in textmill alone .*preset = "llama"'):
        convert(folder, tmp_path / target)
    assert [path.name for path in tmp_path.iterdir()] == ["hf"]
    card = (folder / "README.md").read_text()
    assert "A model with value embeddings runs in textmill alone" in card
    assert "loads in transformers" not in card
    assert open_model(folder).config == own
