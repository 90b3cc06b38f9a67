"""A signal asks a run to stop; a second one stops it at once, where it is one process."""

import os
import signal

import pytest

from textmill.base.errors import StoppedError
from textmill.train.stop import StopRequest


def ask(number=signal.SIGTERM):
    os.kill(os.getpid(), number)


def test_a_second_signal_stops_at_once():
    with StopRequest() as stop:
        ask()
        assert stop
        with pytest.raises(StoppedError, match="stopped at once") as stopped:
            ask(signal.SIGINT)
    assert stopped.value.exit_code == 130


def test_among_several_processes_a_signal_may_come_again():
    """One from the system, and one from what started them."""
    with StopRequest(second_stops_at_once=False) as stop:
        ask()
        ask(signal.SIGINT)
        assert stop.error("stopped").exit_code == 143
