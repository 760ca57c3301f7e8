import pytest

from modelwright import app
from support.browser import Browser


@pytest.fixture
def browser():
    with app.sample() as platform:
        yield Browser(platform)


@pytest.fixture
def user(browser):
    return browser.sign_in()
