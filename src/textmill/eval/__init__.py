"""How good a model is: bits per byte of any text, tasks with right answers, two models on the same items."""
