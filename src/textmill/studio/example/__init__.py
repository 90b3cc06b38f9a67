"""The bundled example: a small model with its run, and a recorded answer of every endpoint. ``make.py`` makes it."""
