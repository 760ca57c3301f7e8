import pytest

from modelwright.store.database import Database


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'home' / 'modelwright.db'}"


@pytest.fixture
def database(url):
    database = Database(url)
    yield database
    database.close()
