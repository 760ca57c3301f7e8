import asyncio
import json
import threading

import pytest

from modelwright.studio import live as module
from modelwright.studio.live import Live


async def take(messages, count):
    async with asyncio.timeout(20):
        return [await anext(messages) for _ in range(count)]


def kinds(messages):
    return [line.removeprefix("event: ") for message in messages for line in message.splitlines() if "event: " in line]


def test_a_page_is_told_of_its_stream_and_of_no_other(monkeypatch):
    monkeypatch.setattr(module, "HEARTBEAT", 0.05)

    async def main():
        live = Live()
        messages = live.messages(["execution/a"], "", None, "")
        assert kinds(await take(messages, 2)) == ["changed"]  # what it may have missed
        threading.Thread(target=live.wake, args=["execution/other"]).start()
        assert kinds(await take(messages, 1)) == []
        threading.Thread(target=live.wake, args=["execution/a"]).start()
        while not kinds(await take(messages, 1)):
            pass
        await messages.aclose()

    asyncio.run(main())


def test_many_commits_make_one_message(monkeypatch):
    monkeypatch.setattr(module, "HEARTBEAT", 0.05)

    async def main():
        live = Live()
        messages = live.messages(["execution/"], "", None, "")
        await take(messages, 2)
        for number in range(50):
            live.wake(f"execution/{number}")
        assert kinds(await take(messages, 3)) == ["changed"]
        await messages.aclose()

    asyncio.run(main())


def test_lines_come_with_the_place_after_them(monkeypatch):
    monkeypatch.setattr(module, "PAUSE", 0)
    lines = ["a", "b"]

    async def read(place):
        number = int(place or 0)
        return [{"m": line} for line in lines[number:]], str(len(lines))

    async def main():
        live = Live()
        messages = live.messages([], "training-job/x", read, "1")
        first = (await take(messages, 3))[2]
        assert "id: 2\n" in first
        assert json.loads(first.splitlines()[2].removeprefix("data: ")) == [{"m": "b"}]
        lines.append("c")
        live.wake_log("training-job/x")
        (second,) = await take(messages, 1)
        assert '"c"' in second
        assert '"b"' not in second
        await messages.aclose()

    asyncio.run(main())


def test_the_end_of_the_server_ends_it():
    async def main():
        live = Live()
        messages = live.messages(["execution/a"], "", None, "")
        await take(messages, 2)
        waiting = asyncio.ensure_future(take(messages, 1))
        await asyncio.sleep(0)
        live.close()
        with pytest.raises(StopAsyncIteration):
            await waiting

    asyncio.run(main())


def test_waking_without_anybody_is_nothing():
    Live().wake("execution/a")


def test_a_page_is_told_of_its_endpoints_metrics_and_instances():
    class Series:
        def __init__(self, name):
            self.dimensions = (("EndpointName", name), ("VariantName", "v"))

    lines = ["a"]

    async def read(place):
        number = int(place or 0)
        return [{"m": line} for line in lines[number:]], str(len(lines))

    async def main():
        live = Live()
        messages = live.messages(["metrics/endpoint/mine/"], "endpoint/mine/", read, "1")
        assert kinds(await take(messages, 2)) == ["changed"]
        live.wake_metrics([Series("mine2"), Series("mine")])
        assert kinds(await take(messages, 1)) == ["changed"]
        lines.append("b")
        live.wake_log("endpoint/mine/abc/i-1/1")
        assert kinds(await take(messages, 1)) == ["log"]
        await messages.aclose()

    asyncio.run(main())


def test_a_folder_is_told_of_what_lies_in_it():
    async def main():
        live = Live()
        messages = live.messages([module.folder_stream("data", "my run/a")], "", None, "")
        await take(messages, 2)
        live.wake_object("data", "my run/b/other.txt")
        live.wake_object("data2", "my run/a/file.txt")
        live.wake_object("data", "my run/a/deep/file.txt")
        assert kinds(await take(messages, 1)) == ["changed"]
        await messages.aclose()

    asyncio.run(main())
