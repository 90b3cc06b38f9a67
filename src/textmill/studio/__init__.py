"""The studio: a page on this machine that shows what is inside tokenizers, models and runs."""
