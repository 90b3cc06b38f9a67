"""Many answers at once, on a runner whose logits tell whenever a text was not read as it is."""

import collections
import dataclasses
import gc
import itertools
import linecache
import sys
import threading

import numpy as np
import pytest

from infer.history_runner import HistoryRunner
from infer.random_cases import Letters, check_case
from textmill.base.errors import ConfigError, DataError, TextmillError
from textmill.infer.answer import Answer, Ending, whole
from textmill.infer.batcher import Batcher
from textmill.infer.request import Request

VOCAB = 16


def make(*, num_blocks=64, **limits):
    return Batcher(HistoryRunner(num_blocks=num_blocks), **limits)


def answer(prompt, *, max_tokens=8, **options):
    ending = Ending(max_tokens=max_tokens, num_ids=VOCAB)
    return Answer(list(prompt), Request.of(**options), ending, seed=options.get("seed", 0), decoder=Letters())


def solo(prompt, **options):
    one = answer(prompt, **options)
    make(tokens_with_guesses=0).run([one])
    return whole(one, list(one.take_deltas()))


def result(one):
    return whole(one, list(one.take_deltas()))


def interrupt_at(line, work):
    """Do some work, raising ``KeyboardInterrupt`` at its n-th line in the engine; False where it has fewer.

    Lines that take or give a lock are left out: a signal comes before or after them.
    """
    files = ("batcher.py", "scheduler.py", "blocks.py", "answer.py", "turn.py")
    lines = itertools.count(1)

    def at_line(frame, event, argument):
        text = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
        if event == "line" and not text.startswith("with self._lock") and next(lines) == line:
            raise KeyboardInterrupt
        return at_line

    before = sys.gettrace()
    sys.settrace(lambda frame, event, argument: at_line if frame.f_code.co_filename.endswith(files) else None)
    try:
        work()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


def of(client, prompt, **options):
    one = answer(prompt, **options)
    one.client = client
    return one


def order_of_ends(batcher, answers):
    ends = []
    while batcher.step():
        ends += [i for i, one in enumerate(answers) if one.is_finished and i not in ends]
    return ends


def run_all(batcher):
    while batcher.step():
        batcher.check()


def test_every_answer_of_random_batches_is_the_same_as_alone():
    totals = collections.Counter()
    for seed in range(100):
        num_adapters = seed % 3
        found = check_case(seed, make, vocab_size=VOCAB, block_size=4, num_adapters=num_adapters, check_every_step=True)
        totals.update(dataclasses.asdict(found))
    for what in ("num_cached_tokens", "num_preempted", "num_accepted_tokens", "num_aborted"):
        assert totals[what] > 20, f"{what}: the cases no longer reach what they are for"
    assert totals["num_guessed_tokens"] > totals["num_accepted_tokens"], "no guess was ever wrong"


class TestOrder:
    def test_decoding_answers_come_before_a_long_prompt(self):
        batcher = make(tokens_per_step=4)
        short, long = answer([1], speculate=0), answer([2] * 30, speculate=0)
        batcher.submit(short)
        batcher.step()
        batcher.submit(long)
        for _ in range(5):
            batcher.step()
        assert short.num_drawn == 6
        assert (long.num_drawn, long.num_computed) == (0, 15)  # what the budget left

    def test_answers_start_in_the_order_of_their_arrival(self):
        batcher = make(max_running=1)
        answers = [answer([i], max_tokens=2) for i in range(4)]
        for one in answers:
            batcher.submit(one)
        ends = []
        while batcher.step():
            ends += [i for i, one in enumerate(answers) if one.is_finished and i not in ends]
        assert ends == [0, 1, 2, 3]

    def test_the_youngest_is_preempted_and_ends_the_same(self):
        prompts = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
        batcher = make(num_blocks=9)
        answers = [answer(prompt, max_tokens=20, ignore_eos=True) for prompt in prompts]
        for one in answers:
            batcher.submit(one)
        run_all(batcher)
        assert batcher.statistics().num_preempted > 0
        assert [result(one) for one in answers] == [solo(p, max_tokens=20, ignore_eos=True) for p in prompts]

    def test_clients_take_turns(self):
        batcher = make(max_running=1)
        answers = [of(client, [i], max_tokens=2) for i, client in enumerate("aaaabbc")]
        for one in answers:
            batcher.submit(one)
        assert order_of_ends(batcher, answers) == [0, 4, 6, 1, 5, 2, 3]

    def test_who_comes_later_is_in_the_next_turn(self):
        batcher = make(max_running=1)
        answers = [of("a", [i], max_tokens=2) for i in range(3)]
        for one in answers:
            batcher.submit(one)
        batcher.step()  # the first turn has begun
        late = [of(client, [5], max_tokens=2) for client in "bc"]
        for one in late:
            batcher.submit(one)
        assert order_of_ends(batcher, answers + late) == [0, 1, 3, 4, 2]

    def test_a_client_with_many_long_answers_makes_room(self):
        batcher = make(max_running=4, num_blocks=64)
        many = [of("a", [i], max_tokens=30, ignore_eos=True, speculate=0) for i in range(8)]
        for one in many:
            batcher.submit(one)
        batcher.step()
        few = [of(client, [9], max_tokens=3, ignore_eos=True, speculate=0) for client in "bcde"]
        for one in few:
            batcher.submit(one)
        for _ in range(3):
            batcher.step()
            batcher.check()
        assert [one.num_drawn for one in few] == [3, 3, 3, 0], "each but the last has taken a place of the first client"
        assert many[0].num_drawn == 4, "the oldest goes on"
        run_all(batcher)
        assert [result(one) for one in many] == [
            solo([i], max_tokens=30, ignore_eos=True, speculate=0) for i in range(8)
        ]
        assert batcher.statistics().num_preempted == 4

    def test_a_client_without_a_place_waits_where_blocks_are_short(self):
        batcher = make(max_running=2, num_blocks=12)
        many = [of("a", [i], max_tokens=20, speculate=0, ignore_eos=True) for i in range(2)]
        for one in many:
            batcher.submit(one)
        batcher.step()
        large = of("b", list(range(15)) * 3, max_tokens=2)
        batcher.submit(large)
        batcher.step()
        assert batcher.statistics().num_preempted == 0
        run_all(batcher)
        assert large.is_finished

    def test_blocks_are_taken_from_who_has_most_answers(self):
        batcher = make(num_blocks=13, max_running=8)
        many = [of("a", [i, i, i], max_tokens=20, speculate=0, ignore_eos=True) for i in range(3)]
        for one in many:
            batcher.submit(one)
        batcher.step()
        one = of("b", [9, 9, 9], max_tokens=20, speculate=0, ignore_eos=True)
        batcher.submit(one)
        while not one.is_finished:
            batcher.step()
            batcher.check()
            assert one.table is not None or one.is_finished, "the youngest is preempted, though another has three"
        run_all(batcher)
        assert batcher.statistics().num_preempted > 0

    def test_turns_that_are_over_are_forgotten(self):
        batcher = make(max_running=2)
        for i in range(5000):
            batcher.submit(of(f"client {i}", [1], max_tokens=1))
            batcher.step()
        assert len(batcher._scheduler._last_turns) < 2000

    def test_a_crowd_of_newcomers_starves_nobody(self):
        batcher = make(num_blocks=10, tokens_per_step=8)
        first = answer([1] * 30, max_tokens=8)
        batcher.submit(first)
        for i in range(200):
            if first.is_finished:
                break
            batcher.submit(answer([i % VOCAB], max_tokens=2))
            batcher.step()
        assert first.is_finished

    def test_a_prompt_that_was_seen_is_not_read_again(self):
        batcher = make()
        batcher.run([answer(range(12))])
        again = answer(range(12))
        batcher.run([again])
        assert again.num_cached == 8  # the last token's logits are wanted, so its block is read
        assert result(again) == solo(range(12))

    def test_several_answers_to_one_prompt_read_it_once(self):
        batcher = make()
        elder, *others = [answer(range(13), seed=i, temperature=1.0) for i in range(3)]
        for one in others:
            one.elder = elder
        batcher.run([elder, *others])
        assert [one.num_cached for one in others] == [12, 12]
        assert [result(one) for one in others] == [solo(range(13), seed=i, temperature=1.0) for i in (1, 2)]

    def test_steps_keep_to_their_budget(self):
        runner = HistoryRunner(num_blocks=64)
        batcher = Batcher(runner, tokens_per_step=7, tokens_with_guesses=7)
        sizes = []
        forward = runner.forward
        runner.forward = lambda chunks: sizes.append(sum(len(c.ids) for c in chunks)) or forward(chunks)
        for i in range(10):
            batcher.submit(answer([i] * (i + 1), speculate=8, max_tokens=20))
        run_all(batcher)
        assert max(sizes) == 7


class TestGuesses:
    def test_right_ones_save_steps(self):
        plain, guessed = answer([1, 2] * 6, max_tokens=24, speculate=0), answer([1, 2] * 6, max_tokens=24, speculate=8)
        steps = []
        for one in (plain, guessed):
            batcher = make()
            batcher.run([one])
            steps.append(batcher.statistics().num_steps)
        assert result(guessed) == result(plain)
        assert steps[1] < steps[0]

    def test_nothing_is_guessed_unasked_where_it_might_change_the_text(self):
        for tolerance, expected in ((0.0, True), (1e-4, False)):
            runner = HistoryRunner(num_blocks=64)
            runner.tolerance = tolerance
            batcher = Batcher(runner)
            batcher.run([answer([1, 2] * 6, max_tokens=24)])
            assert (batcher.statistics().num_guessed_tokens > 0) is expected


class TestEnds:
    def test_an_aborted_answer_frees_its_blocks_at_once(self):
        batcher = make()
        one, other = answer(range(10)), answer(range(3, 10))
        batcher.submit(one)
        batcher.submit(other)
        batcher.step()
        batcher.abort(one)
        assert (one.finish_reason, one.table) == ("abort", None)
        run_all(batcher)
        assert result(other) == solo(range(3, 10))
        assert [delta.finish_reason for delta in one.take_deltas()][-1] == "abort"

    def test_one_that_waits_can_be_aborted(self):
        batcher = make(max_running=1)
        one, other = answer([1]), answer([2])
        batcher.submit(one)
        batcher.submit(other)
        batcher.abort(other)
        batcher.run([])
        run_all(batcher)
        assert (other.finish_reason, other.num_drawn, one.num_drawn) == ("abort", 0, 8)

    def test_an_answer_that_is_aborted_while_a_step_is_made(self):
        runner = HistoryRunner(num_blocks=16)
        batcher = Batcher(runner)
        one, other = answer(range(10)), answer([5])
        forward = runner.forward

        def aborts(chunks):
            batcher.abort(one)
            assert not one.is_finished
            return forward(chunks)

        runner.forward = aborts
        batcher.submit(one)
        batcher.submit(other)
        batcher.step()
        assert (one.finish_reason, one.table) == ("abort", None)
        runner.forward = forward
        run_all(batcher)
        assert result(other) == solo([5])

    def test_what_could_never_be_computed_is_refused(self):
        with pytest.raises(ConfigError, match=r"may have 17 tokens, and the KV cache holds 16.*kv_memory"):
            make(num_blocks=4).submit(answer(range(10), max_tokens=8))
        one = answer(range(9), max_tokens=8)
        make(num_blocks=4).run([one])
        assert one.num_drawn == 8

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_logits_that_are_not_finite_end_their_answer_only(self, bad):
        runner = HistoryRunner(num_blocks=64)
        forward = runner.forward

        def poisoned(chunks):
            logits = forward(chunks)
            for row, chunk in zip(logits, chunks, strict=True):
                if one.table and chunk.blocks[0] == one.table.blocks[0] and chunk.start > 10:
                    row[3] = bad
            return logits

        runner.forward = poisoned
        batcher = Batcher(runner)
        one, other = answer([1] * 9, speculate=0), answer([2] * 9, speculate=0)
        batcher.run([one, other])
        assert result(other) == solo([2] * 9)
        deltas = one.take_deltas()
        assert len([next(deltas) for _ in range(2)]) == 2
        with pytest.raises(DataError, match="not finite after 12 tokens"):
            list(deltas)
        batcher.check()

    def test_an_interruption_leaves_the_others_and_the_batcher_as_they_were(self):
        for when in range(1, 12):
            runner = HistoryRunner(num_blocks=8)
            batcher = Batcher(runner, tokens_per_step=5)
            prompts = [range(7), range(3, 9), [1, 1, 1, 1, 1]]
            answers = [answer(prompt) for prompt in prompts]
            for one in answers:
                batcher.submit(one)
            forward = runner.forward

            def interrupted(chunks, runner=runner, forward=forward, when=when):
                logits = forward(chunks)
                if runner.num_forwards == when:
                    raise KeyboardInterrupt
                return logits

            runner.forward = interrupted
            with pytest.raises(KeyboardInterrupt):
                run_all(batcher)
            batcher.check()
            run_all(batcher)
            assert [result(one) for one in answers] == [solo(prompt) for prompt in prompts]

    def test_an_interruption_at_any_line_loses_at_most_the_answer_it_falls_into(self):
        prompts = [range(7), range(3, 9), [1] * 5, [2, 3]]
        expected = [solo(prompt) for prompt in prompts]
        line, was_interrupted = 1, True
        while was_interrupted:
            batcher = make(num_blocks=8, tokens_per_step=5)
            answers = [answer(prompt) for prompt in prompts]
            for one in answers:
                batcher.submit(one)
            was_interrupted = interrupt_at(line, lambda batcher=batcher: run_all(batcher))
            run_all(batcher)
            lost = [one for one in answers if one.error is not None]
            assert len(lost) <= was_interrupted
            for one, completion in zip(answers, expected, strict=True):
                assert one in lost or result(one) == completion
            assert batcher.statistics().num_blocks_in_use == 0
            line += 41

    def test_an_answer_that_breaks_off_in_a_draw_says_so_and_the_others_go_on(self, monkeypatch):
        batcher = make()
        one, other = answer([1]), answer([2])
        monkeypatch.setattr(one, "extend", lambda rows, guesses: (_ for _ in ()).throw(KeyboardInterrupt))
        batcher.submit(one)
        batcher.submit(other)
        with pytest.raises(KeyboardInterrupt):
            batcher.step()
        run_all(batcher)
        assert result(other) == solo([2])
        with pytest.raises(Exception, match="broke off"):
            list(one.take_deltas())

    @pytest.mark.parametrize("where", ["before", "after", "draw"])
    def test_an_interruption_keeps_what_texts_can_share(self, where, monkeypatch):
        batcher = make()
        batcher.run([answer(range(12))])
        forward, broken = batcher._runner.forward, answer(range(12))

        def interrupted(*arguments):
            if where == "after":
                forward(*arguments)
            raise KeyboardInterrupt

        monkeypatch.setattr(*((broken, "extend") if where == "draw" else (batcher._runner, "forward")), interrupted)
        with pytest.raises(KeyboardInterrupt):
            batcher.run([broken])
        monkeypatch.undo()
        assert batcher.statistics().num_blocks_in_use == 0
        batcher.check()
        again = answer(range(12))
        batcher.run([again])
        assert again.num_cached == 8
        assert result(again) == solo(range(12))

    def test_a_second_interruption_while_the_first_is_mended(self, monkeypatch):
        batcher = make()
        answers = [answer(range(7)), answer(range(3, 9))]
        for one in answers:
            batcher.submit(one)
        batcher.step()

        def interrupted(*_):
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(batcher._scheduler.pool, "publish", interrupted)
            patched.setattr(batcher._scheduler, "start_over", interrupted)
            with pytest.raises(KeyboardInterrupt):
                batcher.step()
        run_all(batcher)
        assert sum(one.error is None for one in answers) == 1
        assert [result(one) for one in answers if one.error is None] == [solo(range(3, 9))]
        assert batcher.statistics().num_blocks_in_use == 0

    @pytest.mark.parametrize("where", ["extend", "on_prompt_rows"])
    def test_an_error_in_a_draw_ends_its_answer_only(self, where):
        def breaks(*_):
            raise IndexError("a fault")

        batcher = make()
        one, other = answer([1], prompt_logprobs=True), answer([2])
        setattr(one, where, breaks)
        batcher.run([one, other])  # nothing is raised where others are carried on, too
        assert result(other) == solo([2])
        with pytest.raises(TextmillError, match="broke off: IndexError while a token was drawn") as raised:
            list(one.take_deltas())
        assert isinstance(raised.value.__cause__, IndexError)
        statistics = batcher.statistics()
        assert (statistics.num_failed, statistics.num_finished, statistics.num_aborted) == (1, 1, 0)
        assert statistics.num_blocks_in_use == 0
        batcher.check()

    def test_an_error_of_the_runner_is_raised(self):
        batcher = make()
        one = answer([1])
        forward = batcher._runner.forward
        batcher._runner.forward = lambda chunks: (_ for _ in ()).throw(MemoryError)
        batcher.submit(one)
        with pytest.raises(MemoryError):
            batcher.step()
        batcher._runner.forward = forward
        run_all(batcher)
        assert result(one) == solo([1])


class TestThreads:
    def test_streams_of_many_threads_are_made_together(self):
        batcher = make(num_blocks=24)
        expected = {seed: solo([seed % 4, 2, 3], seed=seed, temperature=1.0, max_tokens=20) for seed in range(24)}
        found = {}

        def read(seeds):
            for seed in seeds:
                one = answer([seed % 4, 2, 3], seed=seed, temperature=1.0, max_tokens=20)
                batcher.submit(one)
                found[seed] = whole(one, list(batcher.deltas(one)))

        threads = [threading.Thread(target=read, args=(range(i, 24, 6),)) for i in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert found == expected
        batcher.check()
        assert batcher.statistics().num_blocks_in_use == 0

    @pytest.mark.parametrize("how", ["step", "run", "deltas", "abort"])
    def test_an_interruption_at_any_line_leaves_the_turn_to_other_threads(self, how):
        expected = solo([2, 3])
        line, was_interrupted = 1, True
        while was_interrupted:
            batcher = make(num_blocks=8)
            one, other = answer(range(5), max_tokens=3), answer([2, 3])
            if how != "run":
                batcher.submit(one)
            work = {
                "step": batcher.step,
                "run": lambda batcher=batcher, one=one: batcher.run([one]),
                "deltas": lambda batcher=batcher, one=one: list(batcher.deltas(one)),
                "abort": lambda batcher=batcher, one=one: batcher.abort(one),
            }[how]
            was_interrupted = interrupt_at(line, work)
            thread = threading.Thread(target=batcher.run, args=([other],), daemon=True)
            thread.start()
            thread.join(60)
            assert not thread.is_alive(), f"nobody has the turn after an interruption at line {line}"
            assert result(other) == expected
            run_all(batcher)
            assert batcher.statistics().num_blocks_in_use == 0
            line += 1

    def test_one_that_sleeps_is_woken_by_an_interruption(self):
        batcher = make()
        one, other = answer([1]), answer([2, 3])
        begun, asleep = threading.Event(), threading.Event()
        forward = batcher._runner.forward

        def interrupted(chunks):
            begun.set()
            assert asleep.wait(60)
            batcher._runner.forward = forward
            raise KeyboardInterrupt

        def drive():
            with pytest.raises(KeyboardInterrupt):
                batcher.run([one])

        batcher._runner.forward = interrupted
        threads = [threading.Thread(target=drive), threading.Thread(target=batcher.run, args=([other],))]
        threads[0].start()
        assert begun.wait(60)
        threads[1].start()
        while not batcher._turn._changed._waiters:
            threads[1].join(0.001)
        asleep.set()
        for thread in threads:
            thread.join(60)
        assert result(other) == solo([2, 3])
        assert one.finish_reason == "abort"

    def test_what_the_garbage_collector_ends_does_not_end_a_turn(self):
        batcher = make()
        dropped = answer([1])
        batcher.submit(dropped)
        batcher._turn.take(unless=lambda: False)
        batcher.abort(dropped)  # as a stream that is collected right after a turn was taken
        assert (dropped.finish_reason, batcher._turn.is_mine()) == ("abort", True)

    def test_a_stream_dropped_in_another_threads_step_goes_when_the_step_ends(self):
        runner = HistoryRunner(num_blocks=16)
        batcher = Batcher(runner)
        begun, dropped = threading.Event(), threading.Event()
        one, other = answer(range(9), max_tokens=20), answer([1])
        batcher.submit(one)
        stream = batcher.deltas(one)
        next(stream)
        forward = runner.forward

        def slow(chunks):
            begun.set()
            assert dropped.wait(60)
            return forward(chunks)

        runner.forward = slow
        thread = threading.Thread(target=batcher.run, args=([other],))
        thread.start()
        assert begun.wait(60)
        del stream
        gc.collect()
        dropped.set()
        thread.join(60)
        assert one.finish_reason == "abort"
        assert one.num_drawn <= 2
        assert result(other) == solo([1])
        batcher.check()


def test_statistics_count_what_was_done():
    batcher = make()
    batcher.run([answer(range(9), max_tokens=3), answer(range(9), max_tokens=3)])
    batcher.run([answer(range(9), max_tokens=3)])
    statistics = batcher.statistics()
    assert statistics.num_prompt_tokens == 27
    assert statistics.num_cached_tokens == 8
    assert statistics.num_drawn_tokens == 9
    assert (statistics.num_finished, statistics.num_aborted, statistics.num_failed) == (3, 0, 0)
    assert (statistics.num_running, statistics.num_waiting, statistics.num_blocks_in_use) == (0, 0, 0)


def test_answers_that_were_never_submitted_are_not_counted():
    batcher = make(num_blocks=4)
    with pytest.raises(ConfigError, match="may have 17 tokens"):
        batcher.run([answer([1], max_tokens=2), answer(range(10), max_tokens=8), answer([2], max_tokens=2)])
    statistics = batcher.statistics()
    assert (statistics.num_aborted, statistics.num_finished, statistics.num_waiting) == (1, 0, 0)
