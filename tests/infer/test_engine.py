"""The engine's own work, on a runner that says what it is told to."""

import dataclasses

import numpy as np
import pytest

from fakes import chatty_model
from textmill.base.errors import ConfigError, DataError
from textmill.infer.request import Completion, Delta, Request

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

    def test_bytes_are_text(self, scripted):
        model = scripted([*b"Hello", END], add_bos_token=True)
        one = scripted([*b"Hello", END], add_bos_token=True).generate("über")
        assert model.generate("über".encode()) == one
        assert model.runner.chunks[0] == [BOS, *"über".encode()]
        assert "".join(piece.text for piece in model.stream("über".encode())) == one.text
        assert model.generate([b"x", "x"]) == [model.generate("x")] * 2
        with pytest.raises(ConfigError, match="this is a bytearray"):
            model.generate(bytearray(b"x"))

    def test_ids_that_are_no_python_ints(self, scripted):
        model = scripted("abc")
        expected = model.generate([120, 121], max_tokens=1)
        for ids in (np.array([120, 121], np.uint8), [np.int64(120), np.uint64(121)], (120, np.int8(121))):
            assert model.generate(ids, max_tokens=1) == expected
        assert {type(token_id) for token_id in model.runner.chunks[-1]} == {int}

    @pytest.mark.parametrize(
        "ids", [[260], [-1], [1.5], [1, "a"], [2**70], [True, 5], np.array([True]), np.array([1.0]), [None, 5]]
    )
    def test_ids_that_the_model_does_not_have(self, scripted, ids):
        with pytest.raises(ConfigError, match="no token id of this model; they are 0 to 259"):
            scripted("ab").generate(ids)

    @pytest.mark.parametrize("prompt", [7, None, 1.5, True, np.array(5), np.int64(5), [np.array(5)], {1: 2}, {5}])
    def test_what_is_no_prompt(self, scripted, prompt):
        with pytest.raises(ConfigError, match="a string or a list of token ids"):
            scripted("ab").generate(prompt)
        with pytest.raises(ConfigError):
            scripted("ab").stream(prompt)

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

    def test_those_of_the_prompt(self, scripted):
        answer = scripted("bcdef").generate([*b"abx"], max_tokens=1, prompt_logprobs=True)
        first, right, wrong = answer.prompt_logprobs
        assert first is None
        assert right == pytest.approx(0.0, abs=1e-9)
        assert wrong == pytest.approx(-50.0, abs=1e-9)
        assert answer.logprobs is None
        assert scripted("a").generate("x", max_tokens=1).prompt_logprobs is None


def test_rows_that_pad_the_table_are_never_drawn(scripted):
    answer = scripted("a").generate("x", max_tokens=20, temperature=5.0, seed=3, ignore_eos=True, logprobs=5)
    assert max(answer.ids) < 258
    assert all(max(table) < 258 for table in answer.top_logprobs)


def test_a_row_that_pads_the_table_in_a_prompt_is_penalized_by_nobody(scripted):
    model = scripted("a" * 9)
    plain = model.generate([259, 120], max_tokens=4)
    assert model.generate([259, 120], max_tokens=4, repetition_penalty=1.5) == plain
    answer = model.generate([120, 259, 97], max_tokens=2, prompt_logprobs=True)
    assert [value is None for value in answer.prompt_logprobs] == [True, True, False]


def test_weights_that_are_not_finite_are_said_to_be(scripted):
    model = scripted("abc")
    model.runner.forward = lambda chunks: np.full((1, 260), np.nan, np.float32)
    with pytest.raises(DataError, match="not finite"):
        model.generate("x")


class TestSeveralAnswers:
    def test_each_is_what_its_seed_gives(self, scripted):
        model = scripted("a")
        options = {"max_tokens": 12, "temperature": 1.0, "ignore_eos": True, "logprobs": 1}
        answers = model.generate("x", n=3, seed=2**64 - 2, **options)
        assert answers == [model.generate("x", seed=seed, **options) for seed in (2**64 - 2, 2**64 - 1, 0)]
        assert len({tuple(answer.ids) for answer in answers}) == 3
        assert len({tuple(answer.ids) for answer in model.generate("x", n=3, **options)}) == 3  # without a seed too

    def test_a_list_of_prompts_gives_a_list_of_lists(self, scripted):
        model = scripted([*b"Hi", END])
        one = model.generate("x")
        assert model.generate(["x", [120]], n=2) == [[one, one], [one, one]]
        assert model.generate(["x"], n=1) == [one]
        assert model.generate([], n=2) == []

    def test_a_stream_gives_one(self, scripted):
        with pytest.raises(ConfigError, match="one answer, and n is 2"):
            scripted("a").stream("x", n=2)


class TestChangedLogits:
    def test_a_bias(self, scripted):
        assert scripted("aaa").generate("x", max_tokens=3, logit_bias={97: -60, 98: 1.0}).text == "bbb"
        with pytest.raises(ConfigError, match="logit_bias has 258, which is no token: ids are 0 to 257"):
            scripted("a").generate("x", logit_bias={258: 1})

    def test_penalties_of_what_the_answer_has(self, scripted):
        model = scripted("aaaa")
        assert model.generate("a", max_tokens=2, presence_penalty=60.0, logit_bias={98: 1.0}).text == "ab"
        assert model.generate("x", max_tokens=3, frequency_penalty=26.0, logit_bias={98: 1.0}).text == "aab"

    def test_a_penalty_of_what_prompt_or_answer_has(self, scripted):
        model = scripted("aaaa")
        assert model.generate("a", max_tokens=2, repetition_penalty=100.0, logit_bias={98: 1.0}).text[0] == "b"

    def test_log_probabilities_are_those_of_the_model(self, scripted):
        model = scripted("aaa")
        changed = model.generate("a", max_tokens=1, logprobs=1, logit_bias={97: -60})
        assert changed.ids == [0]
        assert changed.logprobs == pytest.approx([-50.0])
        assert list(changed.top_logprobs[0]) == [97]


class TestEnds:
    def test_ids_that_end_it_beside_the_models_own(self, scripted):
        answer = scripted("Hello").generate("x", stop_ids=[ord("l")], ignore_eos=True)
        assert (answer.text, answer.ids, answer.finish_reason) == ("He", [*b"He"], "stop")
        with pytest.raises(ConfigError, match="stop_ids has 300"):
            scripted("a").generate("x", stop_ids=[300])

    def test_not_before_so_many_tokens(self, scripted):
        model = scripted([*b"He", END, *b"llo", END])
        assert model.generate("x", min_tokens=3).ids == [*b"He", 0, *b"llo"]  # the most probable of the others
        assert model.generate("x", min_tokens=2).ids == [*b"He"]

    def test_no_string_ends_it_before_so_many_tokens_either(self, scripted):
        model = scripted("a.b.c.d.e")
        assert model.generate("x", stop=".", min_tokens=4, max_tokens=9).text == "a.b"
        assert model.generate("x", stop=".", min_tokens=5, max_tokens=9).text == "a.b.c"

    def test_every_token_ends_it(self, scripted):
        with pytest.raises(ConfigError, match="stop_ids are all tokens"):
            scripted("a").generate("x", stop_ids=list(range(258)), min_tokens=1)
        assert scripted("a").generate("x", stop_ids=list(range(258))).ids == []


def test_guesses_change_nothing(scripted):
    text = "to be or not to be, to be or not to be, that is"
    options = {"max_tokens": 40, "logprobs": 2}
    plain = scripted(text).generate("x", speculate=0, **options)
    for speculate in (None, 1, 3, 64):
        model = scripted(text)
        assert model.generate("x", speculate=speculate, **options) == plain
        assert model.batcher.statistics().num_accepted_tokens > 0


def test_an_interrupted_model_can_be_used_again(scripted):
    model = scripted("Hello")
    expected = model.generate("x", max_tokens=5)
    forward = model.runner.forward

    def interrupted(chunks):
        if len(model.runner.chunks) > 8:
            raise KeyboardInterrupt
        return forward(chunks)

    model.runner.forward = interrupted
    with pytest.raises(KeyboardInterrupt):
        model.generate(["x", "y", "z"], max_tokens=5)
    model.runner.forward = forward
    statistics = model.batcher.statistics()
    assert (statistics.num_running, statistics.num_waiting, statistics.num_blocks_in_use) == (0, 0, 0)
    assert model.generate("x", max_tokens=5) == expected


class TestChat:
    def test_the_template_lays_it_out(self, scripted):
        model = scripted([*b" " * 17, *b"Hi", END])
        model.tokenizer.chat_template = "a fake's own"
        answer = model.chat([{"role": "user", "content": "Hey"}], max_tokens=3)
        assert model.runner.chunks[0] == [*b"user:Hey;assistant:"]
        assert answer.finish_reason == "stop"

    @pytest.mark.parametrize("messages", [None, 7, "Hey", {"role": "user", "content": "Hey"}, ["Hey"], [None]])
    def test_what_is_no_conversation(self, messages):
        with pytest.raises(ConfigError, match=r'messages must be a list of objects such as \{"role": "user"'):
            chatty_model.make().chat(messages)

    def test_a_model_without_one_says_what_to_do(self, scripted):
        with pytest.raises(DataError, match=r"no chat template.*generate"):
            scripted("abc").chat([{"role": "user", "content": "Hey"}])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -0.1}, "temperature is -0.1, and must be a number from 0 to 100"),
        ({"temperature": float("nan")}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_k": -1}, "top_k is -1, and must be at least 0"),
        ({"top_k": 1.5}, "top_k is 1.5, and must be a whole number, at least 0"),
        ({"top_k": True}, "top_k is True, and must be a whole number, at least 0"),
        ({"temperature": 10**400}, "temperature is 10+, and must be a number from 0 to 100"),
        ({"temperature": True}, "temperature"),
        ({"temperature": np.float32("nan")}, "temperature"),
        ({"seed": np.int64(-1)}, "seed"),
        ({"max_tokens": np.array([1, 2])}, "max_tokens"),
        ({"logit_bias": {True: 1}}, "logit_bias"),
        ({"stop_ids": [True]}, "stop_ids"),
        ({"top_p": 0}, "top_p is 0, and must be above 0"),
        ({"top_p": 1.1}, "top_p"),
        ({"min_p": 2}, "min_p"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**64}, "seed"),
        ({"max_tokens": 0}, "max_tokens is 0, and must be at least 1"),
        ({"stop": ""}, "stop"),
        ({"stop": 7}, "stop"),
        ({"stop": [7]}, "stop"),
        ({"stop": ["x"] * 65}, "stop"),
        ({"logprobs": -1}, "logprobs"),
        ({"ignore_eos": 1}, "ignore_eos"),
        ({"min_tokens": -1}, "min_tokens"),
        ({"repetition_penalty": 0}, "repetition_penalty is 0, and must be a number from 0.01 to 100"),
        ({"repetition_penalty": 5e-324}, "repetition_penalty is 5e-324, and must be a number from 0.01 to 100"),
        ({"presence_penalty": 101}, "presence_penalty"),
        ({"frequency_penalty": float("inf")}, "frequency_penalty"),
        ({"logit_bias": [1]}, "logit_bias is .*, and must map token ids to numbers"),
        ({"logit_bias": {1: 101}}, "logit_bias of 1 is 101, and must be a number from -100 to 100"),
        ({"logit_bias": {"1": 1}}, "logit_bias is .*, and must be token ids"),
        ({"n": 0}, "n is 0, and must be 1 to 1,024"),
        ({"stop_ids": 3}, "stop_ids is 3, and must be a list of token ids"),
        ({"stop_ids": [-1]}, "stop_ids"),
        ({"prompt_logprobs": 1}, "prompt_logprobs"),
        ({"speculate": 65}, "speculate"),
        ({"temprature": 1.0}, 'no option "temprature"'),
    ],
)
def test_options_out_of_range(scripted, options, message):
    with pytest.raises(ConfigError, match=message):
        scripted("abc").generate("x", **options)


def test_options_may_be_numpys_numbers(scripted):
    plain = {
        **{"max_tokens": 6, "min_tokens": 2, "temperature": 0.5, "top_k": 200, "top_p": 0.75, "min_p": 0.0, "n": 2},
        **{"repetition_penalty": 1.5, "presence_penalty": 0.5, "frequency_penalty": 0.25, "seed": 2**64 - 1},
        **{"logit_bias": {97: 1.0}, "stop_ids": [98], "logprobs": 2, "speculate": 3},
        **{"ignore_eos": True, "prompt_logprobs": True},
    }
    floats, small = (np.float16, np.float32, np.float64), (np.uint8, np.int16, np.int64)
    for real, whole in zip(floats, small, strict=True):
        kinds = {float: real, int: whole, bool: np.bool_}
        given = {
            name: kinds[type(value)](value) for name, value in plain.items() if type(value) in kinds and name != "seed"
        }
        given |= {"seed": np.uint64(2**64 - 1), "stop_ids": [whole(98)], "logit_bias": {whole(97): real(1)}}
        assert given.keys() == plain.keys()
        assert scripted("aaaaaa").generate("x", **given) == scripted("aaaaaa").generate("x", **plain)
        request = Request.of(**given)
        assert request == Request.of(**plain)
        assert all(type(value) in {int, float, bool, tuple, dict, type(None)} for value in dataclasses.astuple(request))


def test_none_is_the_default(scripted):
    options = dict.fromkeys(["max_tokens", "temperature", "top_k", "top_p", "min_p", "seed", "stop", "logprobs"])
    assert scripted([*b"Hi", END]).generate("x", **options).text == "Hi"
