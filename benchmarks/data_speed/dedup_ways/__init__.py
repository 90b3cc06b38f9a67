"""Ways to find near duplicates; other projects' are programs: CORPUS.jsonl PAIRS.json THREADS in, JSON out.

All take 14 bands of 8 rows over word 5-grams. ``time_s`` is from texts to documents that are dropped;
``signature_s`` is a run of its own that makes signatures of shingles that were hashed before (datatrove: its first
stage, words with it); ``found`` says of each planted pair whether one was dropped.
"""
