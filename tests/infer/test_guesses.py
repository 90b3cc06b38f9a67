from hypothesis import given
from hypothesis import strategies as st

from textmill.infer.guesses import PromptLookup


def plain_guess(ids, count):
    for size in (4, 3):
        for end in range(len(ids) - 1, size - 1, -1):
            if ids[end - size : end] == ids[-size:]:
                text = list(ids)
                while len(text) < len(ids) + count:
                    text.append(text[end + len(text) - len(ids)])
                return text[len(ids) :]
    return []


@given(st.lists(st.integers(0, 2), max_size=40), st.lists(st.integers(1, 5), max_size=10))
def test_guesses_are_what_followed_the_last_time(ids, steps):
    lookup, length = PromptLookup(), 0
    for step in steps:
        length = min(length + step, len(ids))
        assert lookup.guess(ids[:length], 6) == plain_guess(ids[:length], 6)


def test_what_goes_round_is_guessed_to_go_on():
    assert PromptLookup().guess([7, 1, 2, 3, 1, 2, 3], 5) == [1, 2, 3, 1, 2]


def test_nothing_is_guessed_of_what_was_not_there():
    assert PromptLookup().guess([1, 2, 3, 4, 5], 5) == []
    assert PromptLookup().guess([], 5) == []
