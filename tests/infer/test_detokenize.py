import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill.infer.detokenize import TextStream


class Pieces:
    """A decoder whose token i is the i-th piece of a text."""

    def __init__(self, pieces, rest=""):
        self.pieces, self.rest = pieces, rest

    def push(self, token_id):
        return self.pieces[token_id]

    def finish(self):
        return self.rest


def run(pieces, stop, rest=""):
    stream = TextStream(Pieces(pieces, rest), stop)
    shown = []
    for token_id in range(len(pieces)):
        shown.append(stream.push(token_id))
        if stream.stopped:
            return shown, True
    shown.append(stream.finish())
    return shown, stream.stopped


def cut(text, stop):
    """Character by character: the stop string that is complete first, the longest of those that end together."""
    for end in range(len(text) + 1):
        found = [end - len(word) for word in stop if text[:end].endswith(word)]
        if found:
            return text[: min(found)], True
    return text, False


@pytest.mark.parametrize("first", range(13))
@pytest.mark.parametrize("second", range(13))
def test_a_stop_string_at_every_split(first, second):
    text = "Hello STOP me"
    first, second = sorted((first, second))
    shown, stopped = run([text[:first], text[first:second], text[second:]], ["STOP"])
    assert ("".join(shown), stopped) == ("Hello ", True)


@settings(deadline=None, max_examples=500)
@given(
    st.lists(st.text("ab.", max_size=4), max_size=8),
    st.lists(st.text("ab.", min_size=1, max_size=4), max_size=3),
    st.text("ab.", max_size=2),
)
def test_any_text_any_stop_any_split(pieces, stop, rest):
    shown, stopped = run(pieces, stop, rest)
    expected, should_stop = cut("".join(pieces) + rest, stop)
    assert ("".join(shown), stopped) == (expected, should_stop)


def test_only_what_may_be_a_stop_string_is_held_back():
    shown, _ = run(["ab", "c\n", "\n", "x", "\n"], ["\n\nEND"])
    assert shown == ["ab", "c", "", "\n\nx", "", "\n"]


def test_without_stop_strings_nothing_is_held_back():
    assert run(["a", "", "b"], [])[0] == ["a", "", "b", ""]


def test_nothing_comes_after_the_end():
    stream = TextStream(Pieces(["xSTOPy", "more"]), ["STOP"])
    assert [stream.push(0), stream.push(1), stream.finish()] == ["x", "", ""]
