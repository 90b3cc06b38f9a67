"""Each project's way from raw jsonl to tokens on disk, a process each."""
