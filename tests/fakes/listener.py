"""A listener for tests."""


class Silent:
    """A listener that keeps the events and what is said, and shows nothing."""

    def __init__(self, on_event=None):
        self.events, self.said = [], []
        self.on_event = on_event

    def doing(self, what, total=None): ...
    def progress(self, done): ...
    def corpus(self, sources, sample): ...
    def tokenizer(self, tokenizer): ...
    def shards(self, train, held_out): ...
    def plan(self, run): ...

    def say(self, message):
        self.said.append(message)

    def event(self, event):
        self.events.append(event)
        if self.on_event:
            self.on_event(event)
