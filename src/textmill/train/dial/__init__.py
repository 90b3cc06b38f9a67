"""One dial: how many parameters, or how many minutes; width, depth, heads, batch and learning rate follow from it."""
