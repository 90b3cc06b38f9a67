"""The loss of conversations in rows, beside each by itself in float64; which conversations a step has."""

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from textmill.tune.chat_rows import ChatSource, lay_out, packed
from textmill.tune.chat_tokens import ChatTokens
from textmill.tune.sft_objective import answer_nats
from tune.tiny_llama import tiny_llama


def chats(number=9, seed=1):
    rng = np.random.default_rng(seed)
    made = []
    for place in range(number):
        ids = rng.integers(0, 40, rng.integers(3, 14)).astype(np.int32)
        is_answer = rng.random(len(ids)) < 0.5
        is_answer[0], is_answer[-1] = False, True
        made.append(ChatTokens(ids, is_answer, f"f:{place}"))
    return made


def by_itself(model, chat):
    """Nats of its targets, by a softmax over all logits."""
    logits = model(torch.from_numpy(chat.ids[None, :-1].astype(np.int64)))[0]
    log_p = torch.log_softmax(logits, -1)
    ids = torch.from_numpy(chat.ids[1:].astype(np.int64))
    return -(log_p[torch.arange(len(ids)), ids] * torch.from_numpy(chat.is_answer[1:])).sum()


@pytest.mark.parametrize("context", [13, 40])
@pytest.mark.parametrize("remat", ["none", "full"])
def test_loss_and_gradient_are_those_of_each_conversation_by_itself(context, remat):
    made, model = chats(), tiny_llama().double()
    rows = lay_out(made, packed(made, range(len(made)), context))
    wanted = sum(by_itself(model, chat) for chat in made)
    wanted.backward()
    gradients = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    total = 0.0
    for start in range(0, len(rows.inputs), 2):
        nats = answer_nats(model, rows, slice(start, start + 2), dtype=torch.float64, remat=remat)
        nats.backward()
        total += nats.item()
    assert total == pytest.approx(wanted.item(), rel=1e-9)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name], rtol=1e-7, atol=1e-9, msg=name)


def test_rows_hold_every_conversation_once_and_fit():
    made = chats(30)
    rows = packed(made, range(30), 20)
    assert sorted(number for row in rows for number in row) == list(range(30))
    assert all(sum(made[number].num_inputs for number in row) <= 20 for row in rows)
    batch = lay_out(made, rows)
    assert batch.num_read == sum(chat.num_inputs for chat in made)
    assert batch.loss_mask.sum() == sum(chat.is_answer.sum() for chat in made)
    assert len(rows) < 30


@pytest.mark.parametrize("packs_all", [False, True])
def test_an_epoch_has_every_conversation_once_in_another_order(packs_all):
    made = chats(12)
    source = ChatSource(made, context=16, per_step=2, packs_all=packs_all, seed=3)
    steps = source.num_items // 2
    orders = [[n for step in range(e * steps, (e + 1) * steps) for n in source.numbers(step)] for e in range(2)]
    if source.num_items % 2 == 0:
        assert all(sorted(order) == list(range(12)) for order in orders)
    assert orders[0] != orders[1]
    assert source.batch(5).inputs.tolist() == source.batch(5).inputs.tolist()
    assert len(source.batch(0).inputs) <= 2
