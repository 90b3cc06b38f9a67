"""The LLaMA-style model: its configuration, its arithmetic and its scores; no devices, no files."""
