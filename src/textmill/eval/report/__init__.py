"""``report.html`` of a model: how good it is, how it came to be, and of what, on one page that stands alone."""
