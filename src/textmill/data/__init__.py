"""Tokens on disk and in batches: shards, their manifest, the mixture of sources and the exact batch of every step."""
