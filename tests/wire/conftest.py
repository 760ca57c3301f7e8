"""Servers for the tests of the wire: started once, shared by all of them."""

import pytest

from support.server import PLATFORM, SAMPLE, serving


@pytest.fixture(scope="session", autouse=True)
def nobodys_environment(tmp_path_factory):
    """No test of the wire may depend on the user's own configuration, let alone reach AWS."""
    import os

    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.upper().startswith(("AWS_", "SAGEMAKER_")) or name.lower().endswith("_proxy"):
                patch.delenv(name)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        nowhere = tmp_path_factory.mktemp("user") / "nothing"
        patch.setenv("AWS_CONFIG_FILE", str(nowhere))
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(nowhere))
        yield


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """The whole platform, as `modelwright up` starts it."""
    with serving(tmp_path_factory.mktemp("platform") / "home", PLATFORM) as running:
        yield running


@pytest.fixture(scope="session")
def sample(tmp_path_factory):
    """A server with a few made-up operations (support/sample.py)."""
    with serving(tmp_path_factory.mktemp("sample") / "home", SAMPLE) as running:
        yield running
