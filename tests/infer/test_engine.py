"""The engine's own work, on a runner that says what it is told to."""

import numpy as np
import pytest

from textmill.base.errors import ConfigError, DataError
from textmill.infer.request import Completion, Delta

BOS, END = 256, 257


def test_goes_on_to_the_end_of_the_text(scripted):
    answer = scripted([*b"Hello", END]).generate("x")
    assert answer == Completion(text="Hello", ids=[*b"Hello"], finish_reason="stop")


def test_goes_on_past_it_when_told_to(scripted):
    answer = scripted([*b"Hel", END, *b"lo"]).generate("x", ignore_eos=True, max_tokens=6)
    assert (answer.text, answer.ids, answer.finish_reason) == ("Hello", [*b"Hel", END, *b"lo"], "length")


def test_max_tokens(scripted):
    answer = scripted("Hello").generate("x", max_tokens=3)
    assert (answer.text, answer.finish_reason) == ("Hel", "length")


def test_the_end_of_the_context(scripted):
    answer = scripted("a" * 100, context=10).generate("xyz", max_tokens=50)
    assert (answer.text, answer.finish_reason) == ("aaaaaaa", "length")


def test_a_limit_that_falls_on_the_end_of_the_text(scripted):
    answer = scripted([*b"Hel", END]).generate("x", max_tokens=4)
    assert (answer.text, answer.finish_reason) == ("Hel", "stop")


class TestPrompts:
    def test_longer_than_the_context(self, scripted):
        with pytest.raises(ConfigError, match="11 tokens, and the context is 10"):
            scripted("a", context=10).generate("x" * 11)

    def test_as_long_as_the_context(self, scripted):
        with pytest.raises(ConfigError, match="10 tokens, which fill the context of 10"):
            scripted("a", context=10).generate("x" * 10)
        assert scripted("a" * 20, context=10).generate("x" * 9).ids == [97]

    def test_a_stream_complains_before_it_is_read(self, scripted):
        with pytest.raises(ConfigError, match="context"):
            scripted("a", context=10).stream("x" * 10)
        with pytest.raises(ConfigError, match="temperature"):
            scripted("a").stream("x", temperature=-1)

    def test_a_bos_is_added_once_to_text_and_never_to_ids(self, scripted):
        model = scripted("ab", add_bos_token=True)
        model.generate("xy", max_tokens=1)
        model.generate([BOS, 120], max_tokens=1)
        model.generate([120], max_tokens=1)
        assert model.runner.chunks == [[BOS, 120, 121], [BOS, 120], [120]]

    def test_no_bos_where_the_files_do_not_ask(self, scripted):
        model = scripted("ab")
        model.generate("xy", max_tokens=1)
        assert model.runner.chunks == [[120, 121]]

    def test_an_empty_prompt_begins_with_the_bos(self, scripted):
        model = scripted("ab")
        model.generate("", max_tokens=1)
        assert model.runner.chunks == [[BOS]]
        with pytest.raises(ConfigError, match="empty"):
            scripted("ab", bos=None).generate("")
        with pytest.raises(ConfigError, match="empty"):
            scripted("ab").generate(np.array([], int))

    @pytest.mark.parametrize("ids", [[260], [-1], [1.5], [1, "a"], [2**70]])
    def test_ids_that_the_model_does_not_have(self, scripted, ids):
        with pytest.raises(ConfigError, match="no token id of this model; they are 0 to 259"):
            scripted("ab").generate(ids)

    @pytest.mark.parametrize("prompt", [7, None, 1.5])
    def test_what_is_no_prompt(self, scripted, prompt):
        with pytest.raises(ConfigError, match="a string or a list of token ids"):
            scripted("ab").generate(prompt)

    def test_batches(self, scripted):
        model = scripted([*b"Hello", END])
        one = model.generate("x")
        assert model.generate(["x", "x"]) == [one, one]
        assert model.generate([[120], [120]]) == [one, one]
        assert model.generate(np.array([[120], [120]])) == [one, one]
        assert model.generate([120]) == model.generate((120,)) == model.generate(np.array([120])) == one
        assert model.generate(["x"]) == [one]
        assert model.generate(["x", [120]]) == [one, one]
        assert model.generate([]) == []
        with pytest.raises(ConfigError, match="one prompt"):
            model.stream(["x", "x"])

    def test_a_long_prompt_goes_in_by_chunks(self, scripted):
        model = scripted("a" * 30, tokens_per_step=4)
        model.generate("x" * 9, max_tokens=2, speculate=0)
        assert [len(chunk) for chunk in model.runner.chunks] == [4, 4, 1, 1]


class TestStopStrings:
    def test_they_end_the_text_and_are_not_in_it(self, scripted):
        answer = scripted("one. two. three").generate("x", stop=". t")
        assert (answer.text, answer.ids, answer.finish_reason) == ("one", [*b"one. t"], "stop")

    def test_the_first_of_several(self, scripted):
        assert scripted("one. two. three").generate("x", stop=["three", "two", "nothing"]).text == "one. "

    def test_one_that_begins_and_does_not_come(self, scripted):
        answer = scripted([*b"one EN", END]).generate("x", stop=["END"])
        assert (answer.text, answer.finish_reason) == ("one EN", "stop")
        answer = scripted("one EN").generate("x", stop=["END"], max_tokens=6)
        assert (answer.text, answer.finish_reason) == ("one EN", "length")

    def test_one_that_is_complete_with_the_last_token(self, scripted):
        answer = scripted("one END").generate("x", stop=["END"], max_tokens=7)
        assert (answer.text, answer.finish_reason) == ("one ", "stop")

    def test_one_that_is_not_ascii(self, scripted):
        assert scripted("für alle Mühen").generate("x", stop=["Mü"], max_tokens=20).text == "für alle "


class TestStreams:
    def test_pieces_add_up_to_the_whole(self, scripted):
        model = scripted([*"Grüße, 世界 👋".encode(), END])
        pieces = list(model.stream("x"))
        assert all(isinstance(piece, Delta) for piece in pieces)
        assert "".join(piece.text for piece in pieces) == "Grüße, 世界 👋" == model.generate("x").text
        assert [piece.finish_reason for piece in pieces[:-1]] == [None] * (len(pieces) - 1)
        assert pieces[-1].finish_reason == "stop"
        assert not any("\ufffd" in piece.text for piece in pieces)

    def test_a_character_cut_short_is_shown_as_such(self, scripted):
        assert scripted("ü").generate("x", max_tokens=1).text == "\ufffd"

    def test_pieces_come_as_they_are_drawn(self, scripted):
        model = scripted("abc")
        stream = model.stream("x", max_tokens=3)
        assert next(stream).text == "a"
        assert len(model.runner.chunks) == 1

    def test_a_stream_that_is_left_gives_its_memory_back(self, scripted):
        model = scripted("abc")
        stream = model.stream("x")
        next(stream)
        assert model.batcher.statistics().num_blocks_in_use == 1
        stream.close()
        assert model.batcher.statistics().num_blocks_in_use == 0
        assert model.batcher.statistics().num_aborted == 1
        model.generate("x", max_tokens=2)
        assert model.batcher.statistics().num_blocks_in_use == 0

    def test_a_stream_that_is_never_read_is_never_begun(self, scripted):
        model = scripted("abc")
        model.stream("x")
        assert model.batcher.statistics().num_waiting == 0


class TestLogprobs:
    def test_one_for_each_token(self, scripted):
        answer = scripted([*b"Hi", END]).generate("x", logprobs=2)
        assert len(answer.logprobs) == len(answer.top_logprobs) == len(answer.ids) == 2
        assert answer.logprobs == pytest.approx([0.0, 0.0], abs=1e-9)
        assert [list(table) for table in answer.top_logprobs] == [[72, 0], [105, 0]]

    def test_none_unless_asked(self, scripted):
        model = scripted("Hi")
        assert model.generate("x", max_tokens=2).logprobs is None
        assert model.generate("x", max_tokens=2, logprobs=False).logprobs is None
        assert model.generate("x", max_tokens=2, logprobs=True).top_logprobs == [{}, {}]
        assert model.generate("x", max_tokens=2, logprobs=0).logprobs is not None

    def test_none_of_nothing(self, scripted):
        answer = scripted([END]).generate("x", logprobs=1)
        assert (answer.ids, answer.logprobs, answer.top_logprobs) == ([], [], [])

    def test_they_are_the_models_own_whatever_is_drawn(self, scripted):
        model = scripted("Hi")
        cold = model.generate("x", max_tokens=2, logprobs=3, top_k=1, temperature=0.1, seed=1)
        assert cold.logprobs == model.generate("x", max_tokens=2, logprobs=3).logprobs


def test_rows_that_pad_the_table_are_never_drawn(scripted):
    answer = scripted("a").generate("x", max_tokens=20, temperature=5.0, seed=3, ignore_eos=True, logprobs=5)
    assert max(answer.ids) < 258
    assert all(max(table) < 258 for table in answer.top_logprobs)


def test_weights_that_are_not_finite_are_said_to_be(scripted):
    model = scripted("abc")
    model.runner.forward = lambda chunks: np.full((1, 260), np.nan, np.float32)
    with pytest.raises(DataError, match="not finite"):
        model.generate("x")


class TestChat:
    def test_the_template_lays_it_out(self, scripted):
        model = scripted([*b" " * 17, *b"Hi", END])
        model.tokenizer.chat_template = "a fake's own"
        answer = model.chat([{"role": "user", "content": "Hey"}], max_tokens=3)
        assert model.runner.chunks[0] == [*b"user:Hey;assistant:"]
        assert answer.finish_reason == "stop"

    def test_a_model_without_one_says_what_to_do(self, scripted):
        with pytest.raises(DataError, match=r"no chat template.*generate"):
            scripted("abc").chat([{"role": "user", "content": "Hey"}])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -0.1}, "temperature is -0.1, and must be a number from 0 to 100"),
        ({"temperature": float("nan")}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_k": -1}, "top_k is -1, and must be a whole number from 0 on"),
        ({"top_k": 1.5}, "top_k"),
        ({"top_p": 0}, "top_p is 0, and must be above 0"),
        ({"top_p": 1.1}, "top_p"),
        ({"min_p": 2}, "min_p"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**64}, "seed"),
        ({"max_tokens": 0}, "max_tokens is 0, and must be a whole number from 1 on"),
        ({"stop": ""}, "stop"),
        ({"stop": 7}, "stop"),
        ({"stop": [7]}, "stop"),
        ({"stop": ["x"] * 65}, "stop"),
        ({"logprobs": -1}, "logprobs"),
        ({"ignore_eos": 1}, "ignore_eos"),
        ({"temprature": 1.0}, 'no option "temprature"'),
    ],
)
def test_options_out_of_range(scripted, options, message):
    with pytest.raises(ConfigError, match=message):
        scripted("abc").generate("x", **options)


def test_none_is_the_default(scripted):
    options = dict.fromkeys(["max_tokens", "temperature", "top_k", "top_p", "min_p", "seed", "stop", "logprobs"])
    assert scripted([*b"Hi", END]).generate("x", **options).text == "Hi"
