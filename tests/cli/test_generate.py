"""``textmill generate`` on a model that answers at once: what goes where, and the options that reach the engine."""

import io
import json

import pytest

from fakes import chatty_model
from fakes.tiny_model import write_model
from textmill.cli import main

PROMPT = "assistant\n"  # what the fake's reply follows
REPLY = chatty_model.REPLY


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generate") / "tiny"
    write_model(folder)
    return folder


@pytest.fixture
def loaded(monkeypatch):
    """How the model was loaded, and with which options it was asked."""
    lm = chatty_model.make()
    heard = {}

    def load(path, **options):
        heard["load"] = options
        return lm

    def noted(method):
        def call(prompts, **options):
            heard["options"] = options
            return method(prompts, **options)

        return call

    monkeypatch.setattr("textmill.load", load)
    monkeypatch.setattr(lm, "stream", noted(lm.stream))
    monkeypatch.setattr(lm, "generate", noted(lm.generate))
    return heard


@pytest.mark.usefixtures("loaded")
def test_one_text_is_streamed(folder, capsys):
    assert main(["generate", str(folder), PROMPT]) == 0
    assert capsys.readouterr() == (f"{PROMPT}{REPLY}\n", "")
    assert main(["generate", str(folder), PROMPT, "--max-tokens", "2"]) == 0
    assert "[2 tokens at " in capsys.readouterr().err


@pytest.mark.usefixtures("loaded")
def test_several_texts_come_in_the_order_of_their_prompts(folder, capsys):
    assert main(["generate", str(folder), PROMPT, f"x{PROMPT}", "-n", "2"]) == 0
    out, err = capsys.readouterr()
    assert out == f"{PROMPT}{REPLY}\n" * 2 + f"x{PROMPT}{REPLY}\n" * 2
    assert "[4 of 4, " in err
    assert main(["generate", str(folder), PROMPT, f"x{PROMPT}", "--json"]) == 0
    answers = json.loads(capsys.readouterr().out)
    assert [answer["prompt"] for answer in answers] == [PROMPT, f"x{PROMPT}"]
    assert [answer["text"] for answer in answers] == [REPLY] * 2


@pytest.mark.usefixtures("loaded")
def test_log_probabilities(folder, capsys):
    assert main(["generate", str(folder), PROMPT, "--json", "--logprobs", "2"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["logprobs"] == pytest.approx([0.0] * len(answer["ids"]))
    assert [place[0]["id"] for place in answer["top_logprobs"]] == answer["ids"]
    assert "".join(place[0]["text"] for place in answer["top_logprobs"]) == REPLY


def test_options_reach_the_engine_and_others_are_left_to_it(folder, loaded, capsys):
    assert main(["generate", str(folder), PROMPT]) == 0
    assert loaded["options"] == {"n": 1}
    assert loaded["load"] == {"weights": "auto", "kv": "bf16", "context": None, "threads": None, "device": "cpu"}
    given = (
        "--max-tokens 9 --min-tokens 1 --temperature 0.5 --top-k 4 --top-p 0.9 --min-p 0.1 --repetition-penalty 1.1 "
        "--presence-penalty 0.2 --frequency-penalty 0.3 --logit-bias 5=-100 --logit-bias 6=1.5 --seed 7 --stop a "
        "--stop - --stop-id 9 --ignore-eos --speculate 0 --weights int8 --kv int8 --context 2e2 --threads 1"
    )
    assert main(["generate", str(folder), PROMPT, *given.split()]) == 0
    assert loaded["options"] == {
        "max_tokens": 9,
        "min_tokens": 1,
        "temperature": 0.5,
        "top_k": 4,
        "top_p": 0.9,
        "min_p": 0.1,
        "repetition_penalty": 1.1,
        "presence_penalty": 0.2,
        "frequency_penalty": 0.3,
        "logit_bias": {5: -100.0, 6: 1.5},
        "seed": 7,
        "stop": ["a", "-"],
        "stop_ids": [9],
        "ignore_eos": True,
        "speculate": 0,
        "n": 1,
    }
    assert loaded["load"] == {"weights": "int8", "kv": "int8", "context": 200, "threads": 1, "device": "cpu"}


@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--logprobs", "1"], "add --json"),
        (["--logit-bias", "five=1"], '--logit-bias is "five=1", and must be ID=NUMBER'),
        (["--weights", "int3"], "int3"),
        (["--n", "0"], "n is 0"),
        (["-n", "2.5"], "no whole number"),
        (["--stop-id", "2", "--stop-id", "2.5"], "no whole number"),
        (["--json", "--logprobs", "2.5"], "no whole number"),
        (["--stop-id", "9999"], "no token"),
    ],
)
def test_what_is_wrong_is_said(folder, capsys, options, message):
    assert main(["generate", str(folder), PROMPT, *options]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err


@pytest.mark.usefixtures("loaded")
def test_standard_input_is_one_prompt(folder, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(f"{PROMPT}\n".encode())))
    assert main(["generate", str(folder), "-"]) == 0
    assert capsys.readouterr().out == f"{PROMPT}{REPLY}\n"
    assert main(["generate", str(folder), "-", "-"]) == 2
    assert "read once" in capsys.readouterr().err


def test_a_grammar_comes_from_a_file_or_a_pattern(folder, loaded, tmp_path, capsys):
    pytest.importorskip("llguidance")
    assert main(["generate", str(folder), PROMPT, "--regex", "wi[a-z]+|-"]) == 0
    assert capsys.readouterr().out == f"{PROMPT}wizards\n"
    assert loaded["options"]["grammar"].kind == "the regex"
    schema = tmp_path / "schema.json"
    schema.write_text('{"enum": ["wizards?"]}')
    assert main(["generate", str(folder), PROMPT, "--json-schema", str(schema)]) == 0
    assert capsys.readouterr().out == f'{PROMPT}"wizards?"\n'
    assert main(["generate", str(folder), PROMPT, "--json-schema", str(schema), "--regex", "a"]) == 2
    assert "both given" in capsys.readouterr().err
    assert main(["generate", str(folder), PROMPT, "--regex", "("]) == 2
    assert "unclosed group" in capsys.readouterr().err
    schema.write_text("[")
    assert main(["generate", str(folder), PROMPT, "--json-schema", str(schema)]) == 3
    assert str(schema) in capsys.readouterr().err
