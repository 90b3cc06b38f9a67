"""``textmill model``: what a user asks of a model before it runs."""

import json

import numpy as np
import pytest

from base.gguf_files import array, gguf_file, tensor, text, value
from fakes.real_model import NAME
from fakes.tiny_model import write_model
from textmill.cli import main
from textmill.cli.model_show import bar


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    write_model(folder)
    return folder


def run(capsys, *arguments):
    code = main([str(argument) for argument in arguments])
    return code, *capsys.readouterr()


def run_json(capsys, *arguments):
    code, out, err = run(capsys, *arguments, "--json")
    assert code == 0, err
    return json.loads(out)


def test_show_says_what_people_look_for(folder, capsys):
    code, out, err = run(capsys, "model", "show", folder)
    assert code == 0, err
    for line in (
        "tiny  (llama)",
        "layers         2, 32 wide, feed-forward 64; a table of 304 rows, and a head of its own",
        "attention      grouped-query: 4 query heads share 2 key-value heads of 8",
        "RoPE           base 10,000",
        "context        256 tokens",
        "texts          begin with nothing added, end at <|im_end|> 2",
        "chat template  yes",
        "runs here      yes",
    ):
        assert line in out, out
    assert "  embeddings   " in out
    assert "model.embed_tokens.weight" not in out
    _, out, _ = run(capsys, "model", "show", folder, "--tensors")
    assert "model.embed_tokens.weight" in out
    assert "304 x 32" in out


def test_show_as_json(folder, capsys):
    facts = run_json(capsys, "model", "show", folder, "--tensors")
    assert facts["runs"]
    assert facts["sizes"]["num_hidden_layers"] == 2
    assert facts["num_parameters"] * 4 == sum(tensor["bytes"] for tensor in facts["tensors"])
    assert facts["types"] == {"F32": {"tensors": 21, "bytes": facts["num_parameters"] * 4}}
    assert sum(part["bytes"] for part in facts["parts"].values()) == facts["num_parameters"] * 4
    assert facts["parts"]["embeddings"]["bytes"] == facts["parts"]["head"]["bytes"] == 304 * 32 * 4


@pytest.mark.parametrize(
    ("sizes", "line"),
    [
        ({"num_key_value_heads": 4}, "multi-head: 4 heads of 8"),
        ({"num_key_value_heads": 1}, "multi-query: 4 query heads share one key-value head of 8"),
        ({"model_type": "qwen3", "qk_norm": True}, "; QK-norm"),
        ({"model_type": "textmill", "value_embeddings": True}, "; value embeddings"),
        ({"model_type": "qwen2", "qkv_bias": True}, "; biases in qkv"),
        (
            {"model_type": "mistral", "sliding_window": 16, "sliding_layers": (0, 1)},
            "window         16 tokens in 2 of 2 layers",
        ),
        ({"tie_word_embeddings": True}, "which is the head too"),
    ],
)
def test_show_names_the_kinds_of_the_family(tmp_path, capsys, sizes, line):
    write_model(tmp_path / "model", **sizes)
    code, out, err = run(capsys, "model", "show", tmp_path / "model")
    assert code == 0, err
    assert line in out


def test_a_model_that_is_refused_is_shown_with_the_reason(folder, tmp_path, capsys):
    table = json.loads((folder / "config.json").read_text()) | {"model_type": "gemma9"}
    (tmp_path / "config.json").write_text(json.dumps(table))
    for name in ("tokenizer.json", "model.safetensors"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    code, out, _ = run(capsys, "model", "show", tmp_path)
    assert code == 0
    assert "runs here      no: " in out
    assert "gemma9" in out
    assert "num_hidden_layers 2" in out
    assert "where the bytes are" in out
    (tmp_path / "tokenizer.json").unlink()
    facts = run_json(capsys, "model", "show", tmp_path)
    assert not facts["runs"]
    assert "tokenizer.json" in facts["tokenizer_error"]


def test_a_gguf_that_is_refused_is_shown_with_the_reason(tmp_path, capsys):
    """Another architecture, heads that differ from layer to layer, a type that the engine does not read."""
    heads = np.array([4, 2], "<u4").tobytes()
    content = gguf_file(
        value("general.architecture", 8, text("gemma9")),
        value("general.name", 8, text("A\x1b[2Jmodel")),
        value("gemma9.block_count", 4, (2).to_bytes(4, "little")),
        value("gemma9.attention.head_count", 9, array(4, 2, heads)),
        tensors=(tensor("token_embd.weight", (32, 3), 20, 0), tensor("blk.0.ffn_up.weight", (32, 1), 20, 64)),
        data=bytes(96),
    )
    (tmp_path / "a.gguf").write_bytes(content)
    code, out, err = run(capsys, "model", "show", tmp_path / "a.gguf", "--tensors")
    assert code == 0, err
    assert out.startswith("A\ufffd[2Jmodel  (gemma9)")
    assert "sizes          vocab_size 3, num_hidden_layers 2, num_attention_heads [4, 2]" in out
    assert "runs here      no: " in out
    assert "tokenizer      cannot be read: " in out
    assert "1 IQ4_NL" in out
    facts = run_json(capsys, "model", "show", tmp_path / "a.gguf")
    assert facts["parts"] == {
        "embeddings": {"tensors": 1, "bytes": 54},
        "feed-forward": {"tensors": 1, "bytes": 18},
    }
    (tmp_path / "a.gguf").write_bytes(content[:-100])
    code, out, err = run(capsys, "model", "show", tmp_path / "a.gguf")
    assert (code, out) == (3, "")


def test_convert_replaces_nothing_unasked(folder, tmp_path, capsys):
    target = tmp_path / "a.gguf"
    assert run(capsys, "model", "convert", folder, target)[0] == 0
    before = target.read_bytes()
    code, _, err = run(capsys, "model", "convert", folder, target, "--type", "f16")
    assert code == 2
    assert "is there already; take another name, or --force" in err
    assert target.read_bytes() == before
    code, _, err = run(capsys, "model", "convert", folder, target, "--type", "f16", "--force")
    assert code == 0
    assert " became " in err
    assert target.stat().st_size < len(before)
    code, _, err = run(capsys, "model", "convert", folder, tmp_path / "x.safetensors")
    assert code == 2
    assert "would pass for a file" in err


def test_convert(folder, tmp_path, capsys):
    code, out, err = run(capsys, "model", "convert", folder, tmp_path / "a.gguf", "--type", "f16", "--kv-heads", "1")
    assert (code, out) == (0, f"{tmp_path / 'a.gguf'}\n"), err
    facts = run_json(capsys, "model", "show", tmp_path / "a.gguf")
    assert facts["sizes"]["num_key_value_heads"] == 1
    assert set(facts["types"]) == {"F16", "F32"}
    code, _, err = run(capsys, "model", "convert", folder, tmp_path / "b", "--type", "q8_0")
    assert code == 2
    assert "q8_0" in err


def test_names_in_a_file_cannot_steer_a_terminal(folder, tmp_path, capsys):
    table = json.loads((folder / "config.json").read_text()) | {"model_type": "a\x1b[2Jb"}
    (tmp_path / "config.json").write_text(json.dumps(table))
    code, out, _ = run(capsys, "model", "show", tmp_path)
    assert code == 0
    assert "\x1b" not in out


def test_a_bar_has_its_width_and_shows_the_least_share():
    for share in (0.0, 1e-9, 0.3, 0.5, 1.0):
        assert len(bar(share, 20)) == 20
    assert bar(0.0, 20).strip() == ""
    assert bar(1e-9, 20).strip() == "▏"
    assert bar(1.0, 20) == "█" * 20


def test_estimate_of_llama_7b(capsys):
    """The figure by hand: 2 x 32 layers x 32 heads x 128 x 2 bytes x 10,000 tokens."""
    sizes = ["--context", "10e3"]
    facts = run_json(capsys, "model", "estimate", "llama-7b", *sizes, "--weights", "f16", "--kv", "f16")
    assert facts["kv_bytes"] == 5_242_880_000
    assert facts["bandwidth_is_measured"]
    assert facts["tokens_per_s_at_most"] > facts["tokens_per_s_at_most_at_full_context"] > 0


def test_estimate_knows_files_presets_and_sizes_alike(folder, capsys):
    options = ["--bandwidth", "35", "--weights", "f32"]
    names = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    table = json.loads((folder / "config.json").read_text())
    settings = [
        word
        for name in (*names, "num_key_value_heads", "max_position_embeddings")
        for word in ("--set", f"{name}={table[name]}")
    ]
    found = [
        run_json(capsys, "model", "estimate", *model, *options)
        for model in ([folder], [folder / "config.json"], settings)
    ]
    for facts in found:
        assert {key: facts[key] for key in facts if key != "memory_available_bytes"} == {
            key: found[0][key] for key in facts if key != "memory_available_bytes"
        }
    as_stored = run_json(capsys, "model", "estimate", folder, "--bandwidth", "35")
    assert as_stored["weights"] == "file"
    assert as_stored["weight_bytes"] == found[0]["weight_bytes"]
    smaller = run_json(capsys, "model", "estimate", folder, "--bandwidth", "35", "--weights", "q8_0")
    assert smaller["weight_bytes"] < found[0]["weight_bytes"] / 3


def test_estimate_for_people(capsys):
    code, out, _ = run(capsys, "model", "estimate", "mistral-7b", "--batch", "100", "--bandwidth", "35")
    assert code == 0
    assert "32 layers read the last 4,096 tokens only, and keep all" in out
    assert "does not fit" in out
    assert "35 GB/s given" in out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["estimate", "lama-7b"], 3, 'did you mean "llama-7b"?'),
        (["estimate"], 2, "estimate needs a model, or sizes by --set"),
        (["estimate", "--set", "vocab_size=9"], 2, "hidden_size"),
        (["estimate", "llama-7b", "--set", "hidden=9"], 2, 'did you mean "hidden_size"?'),
        (["estimate", "llama-7b", "--set", "num_attention_heads=x"], 2, "whole number"),
        (["estimate", "llama-7b", "--set", "num_key_value_heads=5"], 2, "does not divide"),
        (["estimate", "llama-7b", "--context", "0"], 2, "must be 1 to 134,217,728"),
        (["estimate", "llama-7b", "--batch", "0"], 2, "--batch is 0"),
        (["estimate", "llama-7b", "--bandwidth", "0"], 2, "--bandwidth is 0"),
        (["estimate", "llama-7b", "--bandwidth", "nan"], 2, "--bandwidth is nan"),
        (["estimate", "llama-7b", "--weights", "file"], 2, "there is no file"),
        (["estimate", "llama-7b", "--weights", "int3"], 2, "int3"),
        (["show", "nowhere"], 3, "nowhere does not exist"),
        (["show", "-"], 2, "cannot be read from standard input"),
        (["get", "smollm2"], 2, 'did you mean "smollm2-135m-instruct"?'),
        (["convert", "nowhere", "x"], 3, "nowhere does not exist"),
    ],
)
def test_what_is_wrong_is_said(capsys, monkeypatch, tmp_path, *, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TEXTMILL_CACHE", str(tmp_path / "cache"))
    found, out, err = run(capsys, "model", *arguments)
    assert (found, out) == (code, "")
    assert message in err


def test_get_without_a_name_lists(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("TEXTMILL_CACHE", str(tmp_path / "cache"))
    code, out, err = run(capsys, "model", "get")
    assert code == 0
    assert "not here yet: " in out
    assert str(tmp_path / "cache" / "models") in err
    assert run_json(capsys, "model", "get") == {
        "folder": str(tmp_path / "cache" / "models"),
        "cached": {},
        "can_be_fetched": [NAME],
    }


@pytest.mark.real_model
def test_the_real_model(real_model, capsys):
    code, out, err = run(capsys, "model", "get", NAME)
    assert (code, out) == (0, f"{real_model}\n")
    assert "nothing to fetch" in err
    assert run(capsys, "tokenizer", "decode", NAME, "1", "2") == (0, "<|im_start|><|im_end|>", "")
    facts = run_json(capsys, "model", "show", NAME)
    assert facts["types"] == {
        "Q4_1": {"tensors": 210, "bytes": 66_355_200},
        "Q8_0": {"tensors": 1, "bytes": 30_081_024},
        "F32": {"tensors": 61, "bytes": 140_544},
    }
    assert facts["num_parameters"] == 134_515_008
    assert (facts["bos_token_id"], facts["prefix_ids"], facts["stop_ids"]) == (1, [], [2])
    assert facts["tokenizer"]["has_chat_template"]
    reckoned = run_json(capsys, "model", "estimate", NAME, "--bandwidth", "35")
    assert reckoned["weight_bytes"] == 66_355_200 + 30_081_024 + 140_544
    assert reckoned["read_bytes"] == reckoned["weight_bytes"]
    assert reckoned["copy_bytes"] == 30_081_024
    assert round(reckoned["tokens_per_s_at_most"]) == pytest.approx(363, abs=1)
