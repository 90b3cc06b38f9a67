"""One tokenizer in many threads and processes: forked in the middle of work, and sent to others."""

import concurrent.futures
import contextlib
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

from textmill import Tokenizer

NUM_FORKS = 20
TIMEOUT_S = 200


@contextlib.contextmanager
def busy_threads(work, number=2):
    """Threads that do the same again and again; what they raise is raised at the end."""
    is_over = threading.Event()

    def repeat():
        while not is_over.is_set():
            work()

    with concurrent.futures.ThreadPoolExecutor(number) as pool:
        futures = [pool.submit(repeat) for _ in range(number)]
        try:
            yield
        finally:
            is_over.set()
        for future in futures:
            future.result(TIMEOUT_S)


def exit_status_of_child(work):
    """Fork, and return what the child's work returns. A child that hangs is ended by an alarm, and its status tells."""
    child = os.fork()
    if child == 0:
        status = 2
        try:
            signal.alarm(TIMEOUT_S)
            status = work()
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


@pytest.mark.parametrize("tokenizer", ["cl100k", "smollm"], indirect=True)  # bit masks; an automaton of two stages
@pytest.mark.parametrize("threads", [1, 2])
def test_a_fork_while_other_threads_encode(tokenizer, corpus, threads):
    texts = [*corpus, "\n".join(corpus * 2)]
    expected = tokenizer.encode_batch(texts, threads=1)

    def encode_all():
        return 0 if tokenizer.encode_batch(texts, threads=threads) == expected else 1

    with busy_threads(lambda: tokenizer.encode_batch(texts, threads=threads)):
        assert [exit_status_of_child(encode_all) for _ in range(NUM_FORKS)] == [0] * NUM_FORKS


def test_a_fork_while_other_threads_count_and_train(cl100k, corpus):
    def train():
        return Tokenizer.train(iter(corpus), 400, "gpt2", threads=2)

    expected = train()
    with busy_threads(train), busy_threads(lambda: cl100k.count(corpus[0])):
        assert [exit_status_of_child(lambda: 0 if train() == expected else 1) for _ in range(5)] == [0] * 5


def test_a_fork_while_a_python_function_splits(corpus):
    """A pattern that only the regex package matches: the GIL is taken in the middle of the native call."""
    tokenizer = Tokenizer.train(iter(corpus), 300, r"(?<!x)\w+|[^\w]+|x")
    text = corpus[0][:2000]
    expected = tokenizer.encode(text)
    with busy_threads(lambda: tokenizer.encode_batch([text] * 4, threads=2)):
        assert [exit_status_of_child(lambda: int(tokenizer.encode(text) != expected)) for _ in range(5)] == [0] * 5


def test_threads_change_nothing_that_others_see(tokenizer, corpus):
    expected = [tokenizer.encode(text) for text in corpus]
    ids, offsets = tokenizer.encode_batch(corpus, threads=2).ids, tokenizer.encode_batch(corpus, threads=2).offsets

    def work(seed):
        for i in np.random.default_rng(seed).permutation(len(corpus)).tolist():
            assert tokenizer.encode(corpus[i]) == expected[i]
            assert tokenizer.count(corpus[i]) == len(expected[i])
            assert tokenizer.decode(expected[i]) == corpus[i]
            assert pickle.loads(pickle.dumps(tokenizer)) == tokenizer
        batch = tokenizer.encode_batch(corpus, threads=2)
        assert np.array_equal(batch.ids, ids)
        assert np.array_equal(batch.offsets, offsets)

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        for future in [pool.submit(work, seed) for seed in range(6)]:
            future.result(TIMEOUT_S)


def _ids_in_another_process(tokenizer, texts):
    return tokenizer, [tokenizer.encode(text) for text in texts]


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_sent_to_another_process_and_back(chat_tokenizer, corpus, method):
    context = multiprocessing.get_context(method)
    with context.Pool(1) as pool:
        copy, ids = pool.apply_async(_ids_in_another_process, (chat_tokenizer, corpus[:20])).get(TIMEOUT_S)
    assert copy == chat_tokenizer
    assert ids == [chat_tokenizer.encode(text) for text in corpus[:20]]


def test_nothing_is_left_at_the_end_of_a_process():
    program = r"""
from textmill import Tokenizer
for pattern in ("gpt2", r"(?<!x)\w+|[^\w]+|x"):
    Tokenizer.train(iter(["some text"]), 260, pattern).encode("text")
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=True,
        env=os.environ | {"TEXTMILL_LEAK_WARNINGS": "1"},
    )
    assert done.stderr == ""
