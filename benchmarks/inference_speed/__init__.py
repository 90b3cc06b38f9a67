"""The engine beside llama.cpp and transformers: their processes, the work, the rounds, and the page of what came."""
