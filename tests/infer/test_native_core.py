"""What the core refuses, whoever calls it: nothing is read or written outside of what it was given."""

import os
import subprocess
import sys

import numpy as np
import pytest

from infer.native_models import runner_of, small_config
from textmill import _core


def numbers(*values):
    return np.array(values, np.int32)


GOOD = {
    "ids": numbers(1, 2, 3),
    "ids_from": numbers(0, 3),
    "starts": numbers(0),
    "blocks": numbers(0),
    "blocks_from": numbers(0, 1),
    "num_logits": numbers(1),
    "adapters": numbers(-1),
}
SIZES = {
    "vocab_size": 8,
    "hidden_size": 8,
    "intermediate_size": 8,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 4,
    "rms_norm_eps": 1e-5,
    "qk_norm": False,
    "rope_frequencies": np.ones(2, np.float32),
    "rope_scale": 1.0,
    "windows": [0],
    "rotates": [True],
    "value_embeddings": [False],
    "num_threads": 1,
}


@pytest.fixture(scope="module")
def core():
    return runner_of(small_config(), kv_memory=1 << 16)._core


def test_what_is_right_goes_through(core):
    assert core.forward(**GOOD).shape == (1, 60)
    empty = numbers()
    none = {"ids_from": numbers(0), "blocks_from": numbers(0)}
    assert core.forward(**dict.fromkeys(GOOD, empty) | none).shape == (0, 60)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ids": numbers(1, 60, 3)}, "60 is no token of the model"),
        ({"ids": numbers(1, -1, 3)}, "-1 is no token"),
        ({"ids_from": numbers(0, 4)}, "outside of the arrays"),
        ({"ids_from": numbers(2, 1)}, "outside of the arrays"),
        ({"ids_from": numbers(-1, 3)}, "outside of the arrays"),
        ({"ids_from": numbers(3, 3)}, "no tokens"),
        ({"ids_from": numbers(0)}, "arrays of one length"),
        ({"starts": numbers(-1)}, "no tokens, or asks"),
        ({"starts": numbers(14)}, "ends at token 17, and its 1 blocks hold 16"),
        ({"starts": numbers(2**31 - 1)}, "blocks hold 16"),
        ({"starts": numbers(0, 0)}, "arrays of one length"),
        ({"blocks": numbers(1 << 30)}, "there is no block 1073741824"),
        ({"blocks": numbers(-1)}, "there is no block -1"),
        ({"blocks_from": numbers(0, 2)}, "outside of the arrays"),
        ({"num_logits": numbers(4)}, "more logits than it has"),
        ({"num_logits": numbers(-1)}, "more logits than it has"),
        ({"adapters": numbers(0)}, "there is no adapter 0"),
        ({"adapters": numbers(0, 0)}, "arrays of one length"),
    ],
)
def test_chunks(core, changes, message):
    with pytest.raises(ValueError, match=message):
        core.forward(**GOOD | changes)


def test_a_text_goes_on_from_a_copy_of_its_block(core):
    core.forward(**GOOD)
    core.copy_block(0, 1)
    more = {"ids": numbers(4), "ids_from": numbers(0, 1), "starts": numbers(3)}
    copied = core.forward(**GOOD | more | {"blocks": numbers(1)})
    core.copy_block(1, 1)
    assert (copied == core.forward(**GOOD | more)).all()


def test_blocks_that_are_not_there_are_not_copied(core):
    for source, target in ((0, 1 << 40), (1 << 40, 0)):
        with pytest.raises(ValueError, match="there is no block 1099511627776"):
            core.copy_block(source, target)
    with pytest.raises(ValueError, match="the cache is not open"):
        _core.Inference(**SIZES).copy_block(0, 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_attention_heads": 0}, "a size of the model is not from 1"),
        ({"num_key_value_heads": 0}, "a size of the model is not from 1"),
        ({"vocab_size": 0}, "a size of the model is not from 1"),
        ({"hidden_size": 1 << 60}, "a size of the model is not from 1"),
        ({"windows": [], "rotates": [], "value_embeddings": []}, "a size of the model is not from 1"),
        ({"windows": [0, 0]}, "different layers"),
        ({"value_embeddings": [True, False]}, "different layers"),
        ({"num_key_value_heads": 3}, "do not fit each other"),
        ({"head_dim": 3}, "do not fit each other"),
        ({"rope_frequencies": np.ones(3, np.float32)}, "do not fit each other"),
        ({"head_dim": 514, "rope_frequencies": np.ones(257, np.float32)}, "head_dim is 514"),
    ],
)
def test_sizes(changes, message):
    with pytest.raises(ValueError, match=message):
        _core.Inference(**SIZES | changes)


def test_tensors():
    core = _core.Inference(**SIZES)
    data = np.zeros(8 * 8 * 4, np.uint8)
    with pytest.raises(ValueError, match="input table was not set"):
        core.open_cache("bf16", 4)
    with pytest.raises(ValueError, match="the cache is not open"):
        core.forward(**GOOD)
    for arguments, message in [
        ((1, "mlp.up_proj", "f32", "F32", data), "no layer 1"),
        ((0, "mlp.other", "f32", "F32", data), "no matrix mlp.other"),
        ((None, "mlp.up_proj", "f32", "F32", data), "no matrix mlp.up_proj"),
        ((0, "mlp.up_proj", "f64", "F32", data), "cannot be kept as f64"),
        ((0, "mlp.up_proj", "f32", "F64", data), "type F64 cannot be read"),
        ((0, "mlp.up_proj", "f32", "F32", data[:-1]), "255 bytes, and takes 256"),
        ((0, "mlp.up_proj", "f32", "Q8_0", data), "which blocks of 32"),
        ((0, "mlp.up_proj", "f32", "F32", data, np.arange(1, 9)), "not one of its rows"),
        ((0, "mlp.up_proj", "f32", "F32", data, np.arange(7)), "not one of its rows"),
    ]:
        with pytest.raises(ValueError, match=message):
            core.set_matrix(*arguments)
    with pytest.raises(ValueError, match="no vector model.norms"):
        core.set_vector(None, "model.norms", "F32", data[:32])
    with pytest.raises(ValueError, match="255 bytes"):
        core.set_table(None, "F32", data[:-1])
    with pytest.raises(ValueError, match="layer 0 has no value embeddings"):
        core.set_table(0, "F32", data[: 8 * 4 * 4])


def test_value_embeddings():
    core = _core.Inference(**SIZES | {"value_embeddings": [True]})
    data = np.zeros(8 * 4 * 4, np.uint8)
    for arguments, message in [
        ((1, "F32", data), "no layer 1"),
        ((0, "F32", data[:-1]), "a table of values has 127 bytes, and takes 128"),
        ((0, "Q8_0", data), "cannot be read as Q8_0"),
        ((0, "F32", np.full(32, np.nan, np.float32).view(np.uint8)), "not finite"),
    ]:
        with pytest.raises(ValueError, match=message):
            core.set_table(*arguments)


def test_a_cache(core):
    for kv, count, message in [("f64", 4, "cannot be kept as f64"), ("bf16", 0, "1 to"), ("bf16", 1 << 31, "1 to")]:
        with pytest.raises(ValueError, match=message):
            core.open_cache(kv, count)


@pytest.mark.parametrize("what", ["threads", "rows"])
def test_a_lack_of_memory_is_an_error_and_not_the_end(what):
    """In a process that may take little."""
    script = f"""
import resource
import numpy as np
from infer.native_models import logits_of, runner_of, small_config
from textmill.base.errors import ConfigError
config = small_config(intermediate_size=1 << 16, num_hidden_layers=1)
runner = runner_of(config)
expected = logits_of(runner, [1, 2, 3])
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (300 << 20), -1))
try:
    if {what!r} == "threads":
        runner_of(small_config(), threads=1000)
    else:
        logits_of(runner, [1] * 4000, blocks=range(250))
except (MemoryError, ConfigError) as error:
    print(type(error).__name__)
assert np.array_equal(logits_of(runner, [1, 2, 3]), expected)
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(part for part in sys.path if part)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stdout) == (0, {"threads": "ConfigError\n", "rows": "MemoryError\n"}[what]), (
        done.stderr
    )
