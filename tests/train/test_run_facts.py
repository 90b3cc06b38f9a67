"""What is said of one run, and of several beside each other."""

import numpy as np
import pytest

from fakes.run_log import write_log
from textmill.base.errors import DataError
from textmill.base.events import Event
from textmill.train.run_compare import compare_runs, differences
from textmill.train.run_facts import describe_run, running_mean, told
from textmill.train.run_record import find_run, read_run


def test_the_facts_of_a_run(tmp_path):
    folder = write_log(tmp_path / "run", spike_at=33)
    checkpoint = folder / "checkpoints" / "step-00000060"
    checkpoint.mkdir(parents=True)
    (checkpoint / "state.json").write_bytes(b"x" * 100)
    facts = describe_run(read_run(folder), now_s=0.0)
    assert (facts.state, facts.step, facts.num_steps, facts.mfu) == ("finished", 60, 60, 0.4)
    assert [score.source for score in facts.scores] == ["all", "code", "training"]
    assert facts.scores[0].best_step == 60
    low, high = facts.scores[0].interval
    assert (low, high) == pytest.approx((facts.scores[0].last - 0.25, facts.scores[0].last + 0.25))
    assert facts.scores[-1].interval is None, "of training text there is none"
    assert [(one.step, one.num_bytes) for one in facts.checkpoints] == [(60, 100)]
    assert [(stage.name, stage.last_step) for stage in facts.stages] == [("stable", 30), ("decay", 60)]
    assert told(facts.incidents[0]) == ("step 33: spike (loss 9, limit 4; grad norm 7, limit 2); back to step 28")


@pytest.mark.parametrize(
    ("skipped", "said"),
    [
        ([[5, 7]], "step 3: as asked, skipped batches 5 to 6"),
        ([[5, 6]], "step 3: as asked, skipped batch 5"),
        ([[5, 6], [8, 20]], "step 3: as asked, skipped batch 5, batches 8 to 19"),
        ([], "step 3: as asked"),
        (["odd", [1.5, "x"]], "step 3: as asked, skipped odd, [1.5, 'x']"),
    ],
)
def test_batches_are_told_from_the_first_to_the_last(skipped, said):
    """As ``textmill train`` says it; the log has the first that is not among them."""
    assert told(Event("skip", 3, 0.0, {"skipped": skipped})) == said


def test_a_running_mean_against_a_loop():
    values = np.array([1.0, np.nan, 3.0, 4.0, np.nan, np.nan, np.nan, 5.0])
    found = running_mean(values, window=3)
    for place in range(len(values)):
        known = [v for v in values[max(0, place - 2) : place + 1] if np.isfinite(v)]
        assert found[place] == pytest.approx(np.mean(known)) if known else np.isnan(found[place])


def test_scores_at_equal_work(tmp_path):
    runs = [
        read_run(write_log(tmp_path / "long", steps=60, lr=1e-3)),
        read_run(write_log(tmp_path / "short", steps=34, lr=2e-3, end=False, name_of_source="prose")),
    ]
    found = compare_runs(runs)
    assert (found.equal_step, found.equal_tokens) == (34, 34 * 64)
    assert [one.key for one in found.differences] == ["recipe.schedule.peak_lr"]
    assert list(found.scores) == ["all", "code", "prose", "training"]
    longer, shorter = found.scores["all"]
    assert longer.at_step == longer.at_tokens == shorter.at_step == pytest.approx(2.1 + 1 / 30)
    assert longer.score.last == pytest.approx(2.1 + 1 / 60)
    assert [one.run for one in found.scores["code"]] == ["long"]


def test_only_what_differs():
    one = {"recipe": {"a": 1, "b": {"c": [1, 2]}, "run": {"dir": "x"}}, "plan": {"n": 3}}
    other = {"recipe": {"a": 1, "b": {"c": [1, 3]}, "run": {"dir": "y"}}, "environment": {"torch": "2"}}
    found = {each.key: each.values for each in differences([one, other])}
    assert found == {"recipe.b.c": [[1, 2], [1, 3]], "plan.n": [3, None], "environment.torch": [None, "2"]}
    assert differences([{}, {}]) == []
    measured = ({"plan": {"peak_flops_per_s": n, "step_time_s": n}} for n in (1.0, 2.0))
    assert differences(list(measured)) == [], "what was measured of the machine is no difference between runs"


def test_names_are_completed(tmp_path):
    for name in ("tiny", "tall", "wide"):
        write_log(tmp_path / name, steps=1)
    assert find_run("w", tmp_path) == tmp_path / "wide"
    assert find_run(str(tmp_path / "tiny")) == tmp_path / "tiny"
    with pytest.raises(DataError, match='"t" begins 2 runs: tall, tiny'):
        find_run("t", tmp_path)
    with pytest.raises(DataError, match='there is no run "tinny"; did you mean "tiny"'):
        find_run("tinny", tmp_path)
    with pytest.raises(DataError, match="holds no run"):
        find_run("x", tmp_path / "nowhere")
    with pytest.raises(DataError, match="holds no run: there is no events.jsonl"):
        find_run(str(tmp_path))
