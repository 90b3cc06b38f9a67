"""The log of a run: appended, read back, torn lines passed over."""

from textmill.base.events import EventLog, read_events


def test_events_come_back_in_order(tmp_path):
    log = EventLog(tmp_path / "run" / "events.jsonl")
    written = [log.write("start", 0, num_steps=2), log.write("step", 1, loss=2.5, names=["a"])]
    log.close()
    read = read_events(tmp_path / "run" / "events.jsonl")
    assert [(e.kind, e.step, e.fields) for e in read] == [(e.kind, e.step, e.fields) for e in written]


def test_a_torn_line_is_passed_over_and_what_follows_is_whole(tmp_path):
    path = tmp_path / "events.jsonl"
    log = EventLog(path)
    log.write("step", 1, loss=1.0)
    log.close()
    with path.open("ab") as file:
        file.write(b'{"v": 1, "t": 3, "step": 2, "ki')
    log = EventLog(path)
    log.write("resume", 1)
    log.close()
    assert [event.kind for event in read_events(path)] == ["step", "resume"]


def test_lines_of_other_kinds_and_shapes_do_no_harm(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text('[]\n"x"\n{"kind": "new"}\n{"kind": "later", "step": 3, "t": 1.0, "v": 9, "extra": null}\n\xff\n')
    assert [(e.kind, e.fields) for e in read_events(path)] == [("later", {"extra": None})]
