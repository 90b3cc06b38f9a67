"""Answers of a step: written by the model as it is, graded, kept, and the same when they are read back."""

from contextlib import nullcontext

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from fakes.tiny_model import tokenizer
from textmill.base.errors import DataError
from textmill.checkpoint.text_rules import TextRules
from textmill.tune.answer_source import AnswerSource, Drawing
from textmill.tune.graded_answers import path_of, read_answers
from textmill.tune.questions import Question
from textmill.tune.rewards import load_reward
from tune.tiny_llama import tiny_llama

REWARD = """
def length(prompt, completion, wanted):
    return -abs(len(completion) - wanted)
"""


@pytest.fixture
def reward(tmp_path):
    (tmp_path / "rewards.py").write_text(REWARD)
    return load_reward(f"{tmp_path / 'rewards.py'}:length")


def questions(num=5):
    words = tokenizer()
    return [
        Question(f"the {n} dog", {"wanted": 3 * n}, tuple(words.encode(f"the {n} dog")), f"prompts.jsonl:{n}")
        for n in range(num)
    ]


def source_of(folder, reward, *, reference=None, **changes):
    drawing = {
        "prompts_per_step": 3,
        "num_answers": 4,
        "max_tokens": 6,
        "temperature": 0.9,
        "updates": 1,
        "scale": "group",
        "context": 40,
        "rows_at_once": 2,
        "dtype": torch.float32,
        "threads": 1,
        "seed": 1,
    } | changes
    rules = TextRules(bos_token_id=None, prefix_ids=(), stop_ids=frozenset({tokenizer().special_tokens["<|im_end|>"]}))
    return AnswerSource(questions(), reward, (tokenizer(), rules), Drawing(**drawing), run=folder, reference=reference)


def model(seed=2):
    return tiny_llama(vocab_size=304, seed=seed)


def answers_of(source, step, llama, **options):
    return source.answers(step, llama, lambda: dict(llama.named_parameters()), **options)


def test_answers_are_graded_in_groups(tmp_path, reward):
    answers = answers_of(source_of(tmp_path, reward), 0, model())
    assert len(answers) == 12
    for start in range(0, 12, 4):
        group = answers[start : start + 4]
        assert len({one.question for one in group}) == 1
        asked = questions()[group[0].question]
        rewards = np.array([-abs(len(one.answer) - asked.record["wanted"]) for one in group])
        assert [one.reward for one in group] == rewards.tolist()
        wanted = (rewards - rewards.mean()) / (rewards.std(ddof=1) + 1e-4)
        np.testing.assert_allclose([one.advantage for one in group], wanted, atol=1e-12)
    assert len({one.ids for one in answers}) > 6
    assert read_answers(path_of(tmp_path, 0)) == answers


def test_they_are_a_function_of_weights_seed_and_step(tmp_path, reward):
    first = answers_of(source_of(tmp_path / "a", reward), 3, model())
    assert answers_of(source_of(tmp_path / "b", reward, threads=2), 3, model()) == first
    assert answers_of(source_of(tmp_path / "c", reward), 4, model()) != first
    assert answers_of(source_of(tmp_path / "d", reward, seed=2), 3, model()) != first
    assert answers_of(source_of(tmp_path / "e", reward), 3, model(seed=3)) != first


def test_ranks_share_the_prompts_and_write_what_one_would(tmp_path, reward):
    whole = answers_of(source_of(tmp_path, reward, prompts_per_step=4), 0, model())
    parts = [answers_of(source_of(tmp_path, reward, prompts_per_step=4), 0, model(), rank=r, size=2) for r in (0, 1)]
    assert parts[0] == whole[0:4] + whole[8:12]
    assert parts[1] == whole[4:8] + whole[12:16]


def test_several_steps_learn_from_the_same_answers_whether_they_are_kept_or_read_back(tmp_path, reward):
    source = source_of(tmp_path, reward, updates=3)
    first = answers_of(source, 3, model())
    later = model(seed=5)
    assert answers_of(source, 4, later) is first
    resumed = source_of(tmp_path, reward, updates=3)
    assert answers_of(resumed, 5, later) == first
    batches = [one.batch(5, answers_of(one, 5, later), lambda count: count) for one in (source, resumed)]
    assert np.array_equal(batches[0].old_log_p, batches[1].old_log_p)
    assert batches[0].old_log_p[batches[0].loss_mask].max() < 0
    assert source.batch(3, first, lambda count: count).old_log_p is None, "the first update is of the model as it is"
    assert answers_of(source, 6, later) != first


def test_answers_that_are_gone_are_named(tmp_path, reward):
    answers_of(source_of(tmp_path, reward, updates=2), 0, model())
    path_of(tmp_path, 0).write_text("{")
    with pytest.raises(DataError, match=r"step-0000000.jsonl is missing or damaged"):
        answers_of(source_of(tmp_path, reward, updates=2), 1, model())


def test_the_reference_counts_where_there_is_one(tmp_path, reward):
    base = model(seed=7)
    source = source_of(tmp_path, reward, reference=lambda: nullcontext(base))
    answers = answers_of(source, 0, model())
    batch = source.batch(0, answers, lambda count: 2 * count)
    assert batch.num_answers == 24
    assert batch.num_tokens == 2 * batch.loss_mask.sum()
    one = answers[5]
    ids = torch.tensor([[*questions()[one.question].ids, *one.ids]])
    logits = base(ids[:, :-1])[0, -len(one.ids) :] / 0.9
    wanted = logits.log_softmax(-1).gather(1, torch.tensor(one.ids)[:, None]).squeeze(1)
    np.testing.assert_allclose(batch.reference_log_p[batch.owners == 5], wanted.detach(), atol=1e-5)


def test_a_reward_that_fails_is_named_with_the_prompt(tmp_path, reward):
    (tmp_path / "rewards.py").write_text("def nan(completion):\n    return float('nan')\n")
    source = source_of(tmp_path, load_reward(f"{tmp_path / 'rewards.py'}:nan"))
    with pytest.raises(DataError, match=r"rewards.py:1\) returned nan.*prompts.jsonl:\d"):
        answers_of(source, 0, model())
