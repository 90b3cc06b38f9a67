"""Generation: a loaded model, the sampler, the text of a stream, and what runs the forward pass."""
