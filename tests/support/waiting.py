"""Waiting for what another thread or process does."""

import threading
import time


def until(condition, seconds=30):
    """What the condition finds, as soon as it finds something."""
    pause, deadline = threading.Event(), time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        pause.wait(0.02)
    return found
