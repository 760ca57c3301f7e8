import asyncio
import threading

import pytest

from modelwright.errors import UnsupportedOperation, ValidationException
from modelwright.services.dispatch import Context, Dispatcher, Principal, operation
from modelwright.services.members import HONOURED, refused

CONTEXT = Context("111122223333", "eu-west-1", Principal("arn:aws:iam::111122223333:user/u", "U"))


class Shelf:
    @operation("PutBook")
    def put_book(self, context, parameters):
        return {"Title": parameters["Title"], "Thread": threading.get_ident()}

    @operation("GetBook", quick=True)
    def get_book(self, context, parameters):
        return {"Thread": threading.get_ident()}

    @operation("ReadBook")
    async def read_book(self, context, parameters):
        return {"Thread": threading.get_ident()}


def refuse_empty(service, operation, parameters):
    if parameters.get("Title") == "":
        raise ValidationException("Title must not be empty.")


def dispatcher():
    return Dispatcher([("library", Shelf())], refuse_empty)


def test_it_works():
    assert dispatcher().call(CONTEXT, "library", "PutBook", {"Title": "x"})["Title"] == "x"


def test_the_operations_are_listed_in_order():
    assert dispatcher().operations() == [("library", "GetBook"), ("library", "PutBook"), ("library", "ReadBook")]


def test_an_unknown_operation_is_named():
    with pytest.raises(UnsupportedOperation, match=r"library:BurnBook.*docs/operations\.md"):
        dispatcher().call(CONTEXT, "library", "BurnBook", {})


def test_every_way_in_validates():
    with pytest.raises(ValidationException):
        dispatcher().call(CONTEXT, "library", "PutBook", {"Title": ""})
    with pytest.raises(ValidationException):
        asyncio.run(dispatcher().acall(CONTEXT, "library", "ReadBook", {"Title": ""}))


def test_what_may_take_long_leaves_the_loop():
    async def threads():
        door = dispatcher()
        answers = [
            await door.acall(CONTEXT, "library", name, {"Title": "x"}) for name in ("PutBook", "GetBook", "ReadBook")
        ]
        return [answer["Thread"] == threading.get_ident() for answer in answers]

    assert asyncio.run(threads()) == [False, True, True]


def test_what_streams_is_not_called_synchronously():
    with pytest.raises(TypeError, match="acall"):
        dispatcher().call(CONTEXT, "library", "ReadBook", {})


def test_two_handlers_of_one_operation_are_a_mistake():
    with pytest.raises(ValueError, match="two handlers"):
        Dispatcher([("library", Shelf()), ("library", Shelf())], refuse_empty)


def test_none_is_absent():
    """A pipeline definition may say null; a handler must never see it."""

    class Echo:
        @operation("Echo")
        def echo(self, context, parameters):
            return parameters

    door = Dispatcher([("x", Echo())], lambda *_: None)
    given = {"A": None, "B": {"C": None, "D": [{"E": None}]}, "F": 0}
    assert door.call(CONTEXT, "x", "Echo", given) == {"B": {"D": [{}]}, "F": 0}


def test_quickness_may_depend_on_the_parameters():
    class Lists:
        @operation("List", quick=lambda parameters: "Long" not in parameters)
        def list(self, context, parameters):
            return {"Thread": threading.get_ident()}

    async def threads():
        door = Dispatcher([("x", Lists())], lambda *_: None)
        return [(await door.acall(CONTEXT, "x", "List", given))["Thread"] for given in ({}, {"Long": 1})]

    short, long = asyncio.run(threads())
    assert short == threading.get_ident() != long


def test_members_are_checked_at_the_door():
    class Table:
        @operation("Put", members={"Name": HONOURED, "Size": refused("Leave it out.")})
        def put(self, context, parameters):
            return {}

    door = Dispatcher([("x", Table())], lambda *_: None)
    assert door.call(CONTEXT, "x", "Put", {"Name": "a"}) == {}
    assert door.members("x", "Put")["Name"] is HONOURED
    with pytest.raises(UnsupportedOperation, match="Size in Put"):
        door.call(CONTEXT, "x", "Put", {"Size": 1})
    with pytest.raises(UnsupportedOperation, match="Size in Put"):
        asyncio.run(door.acall(CONTEXT, "x", "Put", {"Size": 1}))
