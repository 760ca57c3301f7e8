import pytest

from support.platform import running


@pytest.fixture
def platform(tmp_path):
    with running(tmp_path / "home", grace=5, mirror_interval=0.05) as platform:
        platform.bucket()
        yield platform
