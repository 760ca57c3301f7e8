"""Waiting a moment for a stack: no longer than it takes, and never long."""

import threading

from modelwright.services.cloudformation import settling
from modelwright.services.cloudformation.settling import Settling


class History:
    def subscribe(self, wake):
        self.wake = wake


def test_it_ends_with_the_commit_that_settles():
    history, states = History(), ["IN_PROGRESS"]
    waiting, looked, ended = Settling(history), threading.Event(), threading.Event()

    def settled():
        looked.set()
        return states[-1] == "COMPLETE"

    def wait():
        waiting.wait("stack/1", settled)
        ended.set()

    thread = threading.Thread(target=wait)
    thread.start()
    assert looked.wait(10)
    history.wake("stack/2")
    history.wake("stack/1")
    states.append("COMPLETE")
    history.wake("stack/1")
    assert ended.wait(10)
    thread.join()
    assert waiting._waiting == {}


def test_and_without_one(monkeypatch):
    monkeypatch.setattr(settling, "SECONDS", 0.01)
    waiting = Settling(History())
    waiting.wait("stack/1", lambda: False)
    waiting.wait("stack/1", lambda: True)
    assert waiting._waiting == {}
