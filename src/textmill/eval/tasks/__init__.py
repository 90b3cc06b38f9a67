"""Tasks with right answers: a JSONL file of items, scored or generated, judged, and added up."""
