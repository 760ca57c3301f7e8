import pytest

from modelwright.store.database import Database
from modelwright.store.history import History
from support.doors import Clock, Door


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def database(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'modelwright.db'}")
    yield database
    database.close()


@pytest.fixture
def history():
    return History("test")


@pytest.fixture
def door(database, history, clock):
    return Door(database, history, clock)
