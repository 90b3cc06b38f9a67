"""Where the pieces of a pipeline's work run: in this process, in several, or on a Ray cluster; the results are the same."""
