import pytest

from modelwright.config import Settings
from modelwright.images.library import LocalImages


@pytest.fixture
def wheels(tmp_path, monkeypatch):
    """A folder that is all that pip finds packages in."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL", "PIP_CONSTRAINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path / "home")


@pytest.fixture
def images(settings):
    return LocalImages(settings)


@pytest.fixture
def told():
    """What was told to `progress`: pass `told.append`."""
    return []
