"""The parts of the training figures: each is run by itself and prints JSON."""
