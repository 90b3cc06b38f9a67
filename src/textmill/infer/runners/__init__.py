"""What runs the forward pass: one module a way to run it, behind the protocol in ``runner``."""
