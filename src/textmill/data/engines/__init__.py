"""Where the pieces of a pipeline work: here, in several processes, or on a Ray cluster; the results are the same."""
