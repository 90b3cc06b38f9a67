"""Random batches for any batcher, and the one thing that must hold: every answer is the same as alone.

``check_case(seed, make, ...)`` draws a case from its seed alone: prompts that share beginnings, all options, arrivals
and aborts in the middle, few blocks and small budgets, so that prefixes are hit, evicted and preempted. ``make`` gives
a fresh batcher: ``make(num_blocks=..., tokens_per_step=..., max_running=..., tokens_with_guesses=...)``.
"""

import dataclasses
import random

from textmill.infer.answer import Answer, Ending, seeds, whole
from textmill.infer.request import Request

ROOMY = {"tokens_per_step": 512, "max_running": 1, "tokens_with_guesses": 0}


class Letters:
    """A decoder: a letter a token."""

    def push(self, token_id):
        return chr(ord("a") + token_id % 26)

    def finish(self):
        return ""


@dataclasses.dataclass(frozen=True)
class Asked:
    """A request and when it comes and goes, in steps."""

    prompt: list
    options: dict
    arrives: int
    leaves: int | None
    client: str
    adapter: int | None = None

    def answers(self, vocab_size):
        request = Request.of(**self.options)
        stop_ids = frozenset() if request.ignore_eos else frozenset({vocab_size - 1})
        ending = Ending(max_tokens=request.max_tokens, stop_ids=stop_ids | {*request.stop_ids}, num_ids=vocab_size)
        answers = [
            Answer(self.prompt, request, ending, seed=seed, decoder=Letters(), adapter=self.adapter)
            for seed in seeds(request)
        ]
        for answer in answers:
            answer.client = self.client
        for answer in answers[1:]:
            answer.elder = answers[0]
        return answers


@dataclasses.dataclass(frozen=True)
class Case:
    """What is asked, and the limits it is made under."""

    asked: list
    limits: dict


def random_case(seed, *, vocab_size, block_size, longest, num_adapters=0):
    """Draw a case; no text in it has more than ``longest`` tokens, and some have one of so many adapters."""
    rng = random.Random(seed)
    letters = rng.sample(range(vocab_size - 1), min(vocab_size - 1, rng.choice([2, 4, 50])))
    beginnings = [_beginning(rng, letters, longest // 2) for _ in range(rng.randint(1, 3))]
    asked = [_asked(rng, beginnings, letters, longest) for _ in range(rng.randint(1, 8))]
    needed = max(len(one.prompt) + one.options["max_tokens"] - 1 for one in asked)
    limits = {
        "num_blocks": -(-needed // block_size) + rng.choice([0, 1, 3, 10, 40]),
        "tokens_per_step": rng.choice([1, 2, 5, 16, 64]),
        "max_running": rng.choice([1, 2, 4, 16]),
        "tokens_with_guesses": rng.choice([0, 2, 8, 32]),
    }
    adapters = [None, *range(num_adapters)]
    return Case([dataclasses.replace(one, adapter=rng.choice(adapters)) for one in asked], limits)


def _beginning(rng, letters, length):
    """Any text, or one that goes round, of which the next tokens are guessed."""
    period = rng.choice([length, length, rng.randint(1, 6)])
    return (rng.choices(letters, k=period) * length)[:length]


def _asked(rng, beginnings, letters, longest):
    beginning = rng.choice(beginnings)
    prompt = beginning[: rng.randint(1, len(beginning))] + rng.choices(letters, k=rng.choice([0, 0, 1, 5]))
    prompt = prompt[: longest - 1]
    max_tokens = rng.randint(1, min(longest - len(prompt), 24))
    arrives = rng.choice([0, 0, rng.randint(0, 12)])
    leaves = arrives + rng.randint(0, 12) if rng.random() < 0.15 else None
    options = {"max_tokens": max_tokens} | _options(rng, letters)
    return Asked(prompt, options, arrives, leaves, rng.choice(["one", "one", "two", "three"]))


def _options(rng, letters):
    options = {
        "temperature": [0.0, 0.7, 1.5],
        "top_k": [0, 1, 3],
        "top_p": [1.0, 0.9, 0.3],
        "min_p": [0.0, 0.2],
        "repetition_penalty": [1.0, 1.0, 1.3],
        "presence_penalty": [0.0, 0.0, 1.0],
        "frequency_penalty": [0.0, 0.0, -0.5],
        "logit_bias": [{}, {}, {rng.choice(letters): 3.0, rng.choice(letters): -100.0}],
        "min_tokens": [0, 0, 4],
        "stop": [[], [], ["ab", "cc"], ["a"]],
        "stop_ids": [[], [], [rng.choice(letters)]],
        "ignore_eos": [False, True],
        "logprobs": [None, 0, 3],
        "prompt_logprobs": [False, False, False, True],
        "speculate": [None, 0, 1, 3, 8],
        "n": [1, 1, 1, 3],
    }
    return {name: rng.choice(values) for name, values in options.items()} | {"seed": rng.randrange(1 << 64)}


def check_case(seed, make, *, vocab_size, block_size, longest=64, num_adapters=0, check_every_step=False):
    """Assert that a case's answers are those that each request gets alone, and that every block comes back."""
    case = random_case(seed, vocab_size=vocab_size, block_size=block_size, longest=longest, num_adapters=num_adapters)
    batcher = make(**case.limits)
    groups = run(batcher, case, vocab_size, check_every_step=check_every_step)
    batcher.check()
    statistics = batcher.statistics()
    assert (statistics.num_running, statistics.num_waiting, statistics.num_blocks_in_use) == (0, 0, 0)
    for asked, answers in zip(case.asked, groups, strict=True):
        expected = alone(make, asked, vocab_size, -(-longest // block_size))
        for answer, completion in zip(answers, expected, strict=True):
            assert_same(completion_of(answer), completion, answer)
    return statistics


def run(batcher, case, vocab_size, *, check_every_step=False):
    """Make a case's answers: for each request a list of them."""
    groups = [asked.answers(vocab_size) for asked in case.asked]
    last = max(max(asked.arrives, asked.leaves or 0) for asked in case.asked)
    step = 0
    did_something = True
    while did_something or step <= last:
        for asked, answers in zip(case.asked, groups, strict=True):
            if asked.arrives == step:
                for answer in answers:
                    batcher.submit(answer)
            if asked.leaves == step:
                batcher.abort(answers[0])
        did_something = batcher.step()
        if check_every_step:
            batcher.check()
        step += 1
        assert step < 10_000, "an answer never comes to its end"
    return groups


def alone(make, asked, vocab_size, num_blocks):
    """What a request gets by itself: one answer at a time from a fresh batcher, its prompt whole, without guesses."""
    completions = []
    for answer in asked.answers(vocab_size):
        batcher = make(num_blocks=num_blocks, **ROOMY)
        batcher.submit(answer)
        while batcher.step():
            pass
        completions.append(completion_of(answer))
    return completions


def completion_of(answer):
    return whole(answer, list(answer.take_deltas()))


def assert_same(found, expected, answer):
    """Equal bit for bit; of an answer that was aborted, what there is of it."""
    if found.finish_reason != "abort":
        assert found == expected
        return
    count = len(found.ids)
    assert found.ids == expected.ids[:count]
    assert expected.text.startswith(found.text)
    if found.logprobs is not None:
        assert found.logprobs == expected.logprobs[:count]
        assert found.top_logprobs == expected.top_logprobs[:count]
