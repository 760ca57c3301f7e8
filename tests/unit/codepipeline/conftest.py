import pytest

from modelwright.store.database import Database
from modelwright.store.history import History
from support.codepipelines import World


@pytest.fixture
def database(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'modelwright.db'}")
    yield database
    database.close()


@pytest.fixture
def idle(database):
    """Nobody drives its pipelines."""
    return World(database, History("test"))


@pytest.fixture
def world(idle):
    yield idle.start()
    idle.close()
