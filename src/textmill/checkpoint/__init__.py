"""Models and checkpoints on disk: Hugging Face folders, and a run's own steps, whole or absent."""
