"""Where the pieces of a pipeline's work run: here, in several processes, or on a Ray cluster; the results are the same."""
