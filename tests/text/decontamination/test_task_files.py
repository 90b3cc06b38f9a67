import json

from textmill.text.decontamination.items import read_items


def test_the_first_line_of_a_task_file_is_no_item(tmp_path):
    path = tmp_path / "arc.jsonl"
    lines = [{"task": {"shots": 5}}, {"question": "What do bees make?", "choices": ["milk", "honey"], "answer": 1}]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (item,) = read_items([path])
    assert (item.id, item.question) == ("arc.jsonl:2", "What do bees make?")
    path.write_text(json.dumps({"task": "say", "question": "a field of its own"}) + "\n")
    assert [item.question for item in read_items([path])] == ["a field of its own"]
