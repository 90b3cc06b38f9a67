"""Parts of the benchmark of training: each measures one thing and returns its figures."""
