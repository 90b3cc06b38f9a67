"""GGUF files as stored models: sizes and tensors come back as they were written, and what is not known is refused."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from checkpoint.tiny_models import config, tokenizer, write_folder
from model.families import configs
from textmill.base import gguf_writer
from textmill.base.errors import ConfigError, DataError
from textmill.base.gguf import Header, read_header
from textmill.base.gguf_blocks import dequantize
from textmill.checkpoint.convert import convert
from textmill.checkpoint.converted_tensor import read_values
from textmill.checkpoint.gguf_config import config_values, read_config
from textmill.checkpoint.gguf_names import file_order, gguf_name, row_order
from textmill.checkpoint.gguf_rope import llama3_scaling, rope_divisors
from textmill.checkpoint.stored_model import open_model
from textmill.model.rope_scaling import LinearScaling, Llama3Scaling, YarnScaling, rope_frequencies


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("models") / "tiny", config(tie_word_embeddings=True))


@pytest.fixture(scope="module")
def model_file(folder):
    path = folder.parent / "tiny.gguf"
    convert(folder, path)
    return path


def rewritten(source, target, *, values=None, tensors=None):
    """A copy of a GGUF with some values (None: without them) and tensors replaced."""
    header, data = read_header(source), source.read_bytes()
    kept = {
        name: gguf_writer.TensorToWrite(
            name,
            info.type.name,
            info.shape,
            lambda info=info: np.frombuffer(data[info.start : info.end], np.uint8),
        )
        for name, info in header.tensors.items()
    } | (tensors or {})
    changed = {name: value for name, value in (header.values | (values or {})).items() if value is not None}
    gguf_writer.save(target, changed, [tensor for tensor in kept.values() if tensor is not None])
    return target


def zeros(name, shape, kind="F32"):
    tensor = gguf_writer.TensorToWrite(name, kind, shape, lambda: np.zeros(tensor.num_bytes, np.uint8))
    return tensor


def header_of(sizes):
    """The header of a file of such a model, without writing one."""
    values = config_values(sizes)
    tokens = [str(number) for number in range(sizes.vocab_size)]
    stops = zip(("eos_token_id", "eot_token_id", "eom_token_id"), sizes.eos_token_ids, strict=False)
    roles = {f"tokenizer.ggml.{name}": token_id for name, token_id in stops}
    if sizes.bos_token_id is not None:
        roles["tokenizer.ggml.bos_token_id"] = sizes.bos_token_id
    tensors = {gguf_name(name): zeros(gguf_name(name), shape) for name, shape in sizes.tensor_shapes().items()}
    as_read = {name: float(np.float32(item)) if isinstance(item, float) else item for name, item in values.items()}
    return Header(as_read | roles | {"tokenizer.ggml.tokens": tokens}, tensors)


def comparable(sizes):
    """A configuration but for what GGUF says in another way."""
    model_type = "llama" if sizes.model_type == "mistral" else sizes.model_type
    scaling = sizes.rope_scaling
    if isinstance(scaling, LinearScaling):
        scaling = LinearScaling(factor=float(np.float32(scaling.factor))) if np.float32(scaling.factor) != 1 else None
    elif isinstance(scaling, YarnScaling):
        names = ("factor", "beta_fast", "beta_slow")
        rounded = {name: float(np.float32(getattr(scaling, name))) for name in names}
        empty = {"attention_factor": None, "mscale": None, "mscale_all_dim": None}
        scaling = dataclasses.replace(scaling, **rounded, **empty)
    elif isinstance(scaling, Llama3Scaling):
        scaling = None  # the frequencies are compared
    table = {field.name: getattr(sizes, field.name) for field in dataclasses.fields(sizes)}
    table |= {"model_type": model_type, "rope_scaling": scaling, "initializer_range": None}
    table["eos_token_id"] = tuple(dict.fromkeys(sizes.eos_token_ids))
    return {name: np.float32(item) if isinstance(item, float) else item for name, item in table.items()}


@given(sizes=configs())
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_sizes_come_back_or_are_refused(sizes):
    try:
        header = header_of(sizes)
    except ConfigError:  # what GGUF cannot say, of which tests tell one by one
        return
    read = read_config(header, rope_divisors(sizes))
    scaling = read.rope_scaling
    if isinstance(scaling, YarnScaling):
        names = ("factor", "beta_fast", "beta_slow")
        scaling = dataclasses.replace(scaling, **{name: float(np.float32(getattr(scaling, name))) for name in names})
    elif isinstance(scaling, LinearScaling):
        scaling = LinearScaling(factor=float(np.float32(scaling.factor)))
    assert comparable(dataclasses.replace(read, rope_scaling=scaling)) == comparable(sizes)
    ours, factor = rope_frequencies(read)
    theirs, their_factor = rope_frequencies(sizes)
    # The divisors are float32 and found again to 1e-5; the base is rounded to float32, too.
    assert np.allclose(ours, theirs, rtol=3e-5, atol=0)
    assert math.isclose(factor, their_factor, rel_tol=1e-6)


@given(
    theta=st.floats(100, 1e7),
    half=st.integers(1, 64),
    scaling=st.builds(
        Llama3Scaling,
        factor=st.floats(1.1, 64),  # nearer to 1 the ramp drowns in the rounding of float32, and is refused
        low_freq_factor=st.floats(0.5, 2),
        high_freq_factor=st.floats(4, 8),
        original_max_position_embeddings=st.integers(16, 1 << 17),
    ),
    is_known=st.booleans(),
)
@settings(deadline=None)
def test_the_parameters_of_llama_3_are_found_again(theta, half, scaling, is_known):
    sizes = config(head_dim=2 * half, rope_theta=theta, rope_scaling=scaling)
    divisors = rope_divisors(sizes)
    original = scaling.original_max_position_embeddings if is_known else None
    found = llama3_scaling(divisors, head_dim=2 * half, theta=theta, original=original)
    again = rope_divisors(dataclasses.replace(sizes, rope_scaling=found))
    assert np.allclose(1 if again is None else again, divisors, rtol=1.1e-5, atol=0)


@pytest.mark.parametrize(("factor", "original", "theta"), [(8.0, 8192, 5e5), (32.0, 8192, 5e5), (16.0, 4096, 1e6)])
def test_parameters_that_somebody_wrote_come_back_exactly(factor, original, theta):
    scaling = Llama3Scaling(
        factor=factor, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=original
    )
    divisors = rope_divisors(config(head_dim=128, rope_theta=theta, rope_scaling=scaling))
    for known in (None, original):
        assert llama3_scaling(divisors, head_dim=128, theta=theta, original=known) == scaling


@pytest.mark.parametrize(
    ("divisors", "message"),
    [
        ([1, 2, 3], "shape"),
        ([1, 1, 9, 9, 8, 8, 9, 9], "not those of Llama 3's scaling"),
        ([1, 1, 1, 2, 9, 9, 9, 100], "not those of Llama 3's scaling"),
        ([0.5] * 8, "not those of Llama 3's scaling"),
        ([1, 1, 1, 1, 1, 1, 1, np.nan], "not those of Llama 3's scaling"),
        ([1, 1, 1, 1, 1, 1, 1, np.inf], "not those of Llama 3's scaling"),
        ([0] * 8, "not those of Llama 3's scaling"),
    ],
)
def test_other_divisors_are_refused(divisors, message):
    with pytest.raises(DataError, match=message):
        llama3_scaling(np.array(divisors, np.float32), head_dim=16, theta=1e4, original=None)


@given(heads=st.integers(1, 5), half=st.integers(1, 9))
def test_rows_are_ordered_as_llama_cpp_orders_them(heads, half):
    """Its converter: reshape to [head, half, pair], swap the last two."""
    sizes = config(num_attention_heads=heads, num_key_value_heads=1, head_dim=2 * half, hidden_size=heads)
    rows = np.arange(heads * 2 * half)
    in_file = rows.reshape(heads, 2, half).swapaxes(1, 2).reshape(-1)
    order = row_order("model.layers.0.self_attn.q_proj.bias", sizes, "llama")
    assert np.array_equal(in_file[order], rows)
    assert np.array_equal(rows[file_order(order)], in_file)
    assert row_order("model.layers.0.self_attn.v_proj.weight", sizes, "llama") is None
    assert row_order("model.layers.0.self_attn.q_proj.weight", sizes, "qwen2") is None


def test_a_folder_and_its_file_are_the_same_model(folder, model_file):
    ours, theirs = open_model(model_file), open_model(folder)
    assert ours.config == theirs.config
    assert list(ours.tensors) == list(theirs.tensors) == list(ours.config.tensor_shapes())
    for name, tensor in theirs.tensors.items():
        assert tensor.shape == ours.tensors[name].shape
        assert np.array_equal(read_values(tensor), read_values(ours.tensors[name]))
        assert np.array_equal(read_values(tensor), dequantize(tensor.type, tensor.data, tensor.shape))
    loaded = [model.load_tokenizer() for model in (ours, theirs)]
    rules = [model.load_text_rules(each) for model, each in zip((ours, theirs), loaded, strict=True)]
    assert rules[0] == rules[1]
    assert rules[0].bos_token_id == 0
    assert rules[0].stop_ids == {2}
    assert loaded[0].chat_template == tokenizer().chat_template
    for text in ("Hello, world 123", "\u00e9\r\n 中文  x"):
        assert loaded[0].encode(text) == loaded[1].encode(text) == tokenizer().encode(text)


def test_bos_is_added_where_the_folder_asks_for_it(tmp_path):
    folder = write_folder(tmp_path / "tiny", config(eos_token_id=(2, 0)), add_bos_token=True)
    convert(folder, tmp_path / "x.gguf")
    for path in (folder, tmp_path / "x.gguf"):
        stored = open_model(path)
        rules = stored.load_text_rules(stored.load_tokenizer())
        assert (rules.prefix_ids, rules.bos_token_id, rules.stop_ids) == ((0,), 0, {0, 2})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"general.architecture": "mamba"}, 'its architecture is "mamba", .*llama, qwen2, qwen3, smollm3 it can'),
        ({"general.architecture": "mistral3"}, 'its architecture is "mistral3"'),
        ({"general.architecture": None}, 'its architecture is ""'),
        ({"split.count": 3}, "one of 3 parts of a model; join them"),
        ({"general.architecture": 7}, "general.architecture is a whole number"),
        ({"llama.block_count": None}, "no llama.block_count"),
        ({"llama.block_count": 4}, "lacks blk.3.attn_norm.weight, .* and 6 more"),
        ({"llama.block_count": 2}, "holds blk.2.attn_norm.weight, .* for which"),
        ({"llama.block_count": 1 << 31}, "num_hidden_layers is 2,147,483,648"),
        (
            {"llama.block_count": (1 << 32) - 1, "llama.attention.sliding_window": 8},
            "num_hidden_layers is 4,294,967,295",
        ),
        ({"llama.block_count": -1}, "num_hidden_layers is -1"),
        ({"llama.block_count": "3"}, "must be a whole number"),
        ({"llama.block_count": True}, "must be a whole number"),
        ({"llama.embedding_length": 128}, r"as \[300, 64\], and its configuration asks for \[300, 128\]"),
        ({"llama.embedding_length": 0}, "hidden_size is 0"),
        ({"llama.attention.head_count": 0}, "num_attention_heads is 0"),
        ({"llama.attention.head_count": 3}, "which does not divide|no multiple"),
        ({"llama.attention.head_count_kv": np.array([2, 2, 1], "i4")}, "differs from layer to layer"),
        ({"llama.attention.head_count_kv": np.array([], "i4")}, "differs from layer to layer"),
        ({"llama.attention.key_length": 32}, "value_length is 16, and the size of its heads 32"),
        ({"llama.rope.dimension_count": 8}, "rope.dimension_count is 8, and the size of its heads 16"),
        ({"llama.attention.layer_norm_rms_epsilon": float("nan")}, "rms_norm_eps is nan"),
        ({"llama.rope.freq_base": np.full(3, 1e300)}, "rope_theta is inf"),
        ({"llama.rope.freq_base": float("inf")}, "rope_theta is inf"),
        ({"llama.vocab_size": 299}, "table has 300 rows, and its vocab_size is 299"),
        ({"llama.expert_count": 8}, "llama.expert_count = 8, which this release cannot"),
        ({"llama.attention.causal": False}, "llama.attention.causal = False"),
        ({"llama.logit_scale": 2.0}, "llama.logit_scale = 2.0"),
        ({"llama.rope.scaling.type": "longrope"}, 'of the kind "longrope"'),
        ({"llama.rope.scaling.type": "yarn"}, "factor is 1|lacks|factor"),
        (
            {"llama.attention.sliding_window": 8, "llama.attention.sliding_window_pattern": 2},
            "pattern is a whole number",
        ),
        ({"tokenizer.ggml.eos_token_id": 300}, "eos_token_id is 300, and its tokens have ids 0 to 299"),
    ],
)
def test_what_is_not_known_is_refused_by_its_name(tmp_path, model_file, values, message):
    path = rewritten(model_file, tmp_path / "x.gguf", values=values)
    if values == {"llama.rope.scaling.type": "yarn"}:  # a factor of 1 scales nothing
        assert open_model(path).config.rope_scaling.factor == 1.0
        return
    with pytest.raises(DataError, match=message) as caught:
        open_model(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"token_embd.weight": None}, "no tensor token_embd.weight"),
        ({"blk.1.ffn_up.weight": None}, "lacks blk.1.ffn_up.weight of the 29 tensors"),
        ({"blk.1.attn_q.bias": zeros("blk.1.attn_q.bias", (64,))}, "holds blk.1.attn_q.bias, for which"),
        ({"blk.0.attn_q_norm.weight": zeros("blk.0.attn_q_norm.weight", (16,))}, "qk_norm = True is not possible"),
        ({"blk.0.attn_q.bias": zeros("blk.0.attn_q.bias", (64,))}, "qkv_bias = True and o_bias = False"),
        ({"blk.0.ffn_up.weight": zeros("blk.0.ffn_up.weight", (96, 32))}, r"as \[96, 32\], .* asks for \[96, 64\]"),
        ({"blk.0.ffn_up.weight": zeros("blk.0.ffn_up.weight", (96, 64), "IQ4_NL")}, "type IQ4_NL, which this release"),
        ({"blk.0.ffn_up.weight": zeros("blk.0.ffn_up.weight", (96, 64), "I32")}, "type I32"),
        ({"output_norm.weight": zeros("output_norm.weight", (64,), "Q8_0")}, "a norm or a bias in blocks"),
        ({"rope_freqs.weight": zeros("rope_freqs.weight", (8,))}, "divisors of RoPE's frequencies"),
        ({"rope_freqs.weight": zeros("rope_freqs.weight", (8,), "F16")}, "must be F32 in one dimension"),
    ],
)
def test_tensors_that_do_not_belong_are_named(tmp_path, model_file, tensors, message):
    path = rewritten(model_file, tmp_path / "x.gguf", tensors=tensors)
    with pytest.raises(DataError, match=message) as caught:
        open_model(path)
    assert str(path) in str(caught.value)


def test_a_file_without_a_tokenizer_says_so_when_it_is_asked_for(tmp_path, model_file):
    header = read_header(model_file)
    without = {name: None for name in header.values if name.startswith("tokenizer.")}
    stored = open_model(rewritten(model_file, tmp_path / "x.gguf", values=without))
    with pytest.raises(DataError, match="it holds no tokenizer"):
        stored.load_tokenizer()


def test_a_tokenizer_of_another_model_is_refused(tmp_path, model_file):
    header = read_header(model_file)
    longer = {
        "tokenizer.ggml.tokens": [*header.values["tokenizer.ggml.tokens"], "Ġq"],
        "tokenizer.ggml.token_type": np.append(header.values["tokenizer.ggml.token_type"], np.int32(1)),
    }
    stored = open_model(rewritten(model_file, tmp_path / "x.gguf", values=longer))
    with pytest.raises(DataError, match="table has 300 rows .* the tokenizer 301 tokens"):
        stored.load_tokenizer()
