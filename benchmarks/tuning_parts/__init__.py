"""Parts of ``benchmarks/tuning.py``."""
