"""We write, botocore reads."""

import asyncio

from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from modelwright.protocol import spec
from modelwright.protocol.eventstream import Messages, message

BODY = spec.operation("sagemaker-runtime", "InvokeEndpointWithResponseStream").output_shape.members["Body"]


def read(data):
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    return list(buffer)


@given(st.dictionaries(st.text(min_size=1, max_size=20), st.text(max_size=50), max_size=5), st.binary(max_size=2000))
def test_botocore_reads_a_message(headers, payload):
    (found,) = read(message(headers, payload))
    assert (found.headers, found.payload) == (headers, payload)


def test_events_and_the_error_that_ends_them():
    closed = []

    async def events():
        try:
            yield {"PayloadPart": {"Bytes": b"\x00piece"}}
            yield {"ModelStreamError": {"ErrorCode": "StreamBroken", "Message": "lost"}}
        finally:
            closed.append(True)

    async def act():
        messages = Messages(BODY, events())
        found = [await anext(messages), await anext(messages)]
        await messages.aclose()
        return found

    part, error = read(b"".join(asyncio.run(act())))
    assert (part.headers[":event-type"], part.payload) == ("PayloadPart", b"\x00piece")
    assert (error.headers[":message-type"], error.headers[":exception-type"]) == ("exception", "ModelStreamError")
    assert b'"StreamBroken"' in error.payload
    assert closed
