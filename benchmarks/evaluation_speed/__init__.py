"""Scoring beside lm-evaluation-harness: its environment, the items, a worker for each engine, and the page."""
