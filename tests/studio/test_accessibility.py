"""Every page is looked at by axe, in light and dark, and weighed; the keyboard reaches and works everything."""

import pytest

from support.axe import problems_in_both_themes
from support.furnished import PAGES, finish, furnish, known
from support.server import Server
from support.studio import sign_in_link

ALIKE = {
    "execution-stopped", "execution-worst", "execution-wide-timeline", "pipeline-long", "pipeline-long-parameters",
    "bucket-long", "jobs-processing", "job", "execution-information", "group-empty",
}  # fmt: skip
"""Pages that have another's parts, with other values."""


@pytest.fixture(scope="module")
def furnished(tmp_path_factory):
    """A server on a home in which much has happened, and the ids of its executions."""
    server = Server(tmp_path_factory.mktemp("furnished") / "home")
    furnish(server.settings)
    try:
        server.start()
        finish(server)
        yield server, known(server)
    finally:
        server.stop()


@pytest.fixture(scope="module")
def reader(chromium, furnished):
    """One tab, signed in, for all pages."""
    context = chromium.new_context(viewport={"width": 1280, "height": 800}, locale="en-US", reduced_motion="reduce")
    page, own = context.new_page(), furnished[0].url
    page.set_default_timeout(30_000)
    complaints, strangers = [], []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda asked: strangers.append(asked.url) if not asked.url.startswith(own) else None)
    page.goto(sign_in_link(furnished[0]))
    page.wait_for_url("**/studio/")
    yield page
    context.close()
    # No page asks anybody else, breaks its own policy or has a script that fails.
    assert strangers == []
    assert [text for text in complaints if "404" not in text] == []


WEIGHT = """[...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
    .reduce((sum, each) => sum + each.decodedBodySize, 0)"""
"""Bytes of the page with all that it loads, as a browser unpacks them."""


@pytest.mark.parametrize("name", [name for name in PAGES if name not in ALIKE])
def test_axe_finds_nothing(reader, furnished, name):
    server, ids = furnished
    reader.goto(f"{server.url}/studio{PAGES[name].format(**ids)}")
    assert 5_000 < reader.evaluate(WEIGHT) < 300_000
    assert problems_in_both_themes(reader) == []


@pytest.fixture
def at(reader, furnished):
    """Goes to one of the pages."""
    server, ids = furnished

    def go(name):
        reader.goto(f"{server.url}/studio{PAGES[name].format(**ids)}")
        return reader

    return go


FOCUSED = "document.activeElement.getAttribute('href') || document.activeElement.textContent.trim()"


def test_the_first_key_leads_past_the_sections(at):
    page = at("pipeline")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.getElementById('main').contains(document.activeElement)")


PLACE = """() => {
    const reached = "a[href], button, input:not([type=hidden]), textarea, select, summary, [tabindex='0']";
    return document.activeElement === document.body
        ? null : [...document.querySelectorAll(reached)].indexOf(document.activeElement);
}"""


def test_the_tab_key_goes_through_the_page_as_it_is_read(at):
    page = at("version")
    seen = []
    while not (seen and seen[-1] is None):
        page.keyboard.press("Tab")
        seen.append(page.evaluate(PLACE))
    places = [place for place in seen if place is not None]
    assert places == sorted(places)
    assert len(places) > 15
    assert page.evaluate('document.querySelectorAll(\'[tabindex]:not([tabindex="0"], [tabindex="-1"])\').length') == 0


def test_steps_are_reached_opened_and_left_by_keys(at):
    page = at("execution-graph")
    page.locator(".graph-view .node").first.wait_for()
    page.locator(".graph-view").focus()
    page.keyboard.press("Tab")
    assert page.evaluate(FOCUSED) == "?step=PosePrepare"
    page.keyboard.press("ArrowDown")
    assert page.evaluate(FOCUSED) == "?step=PoseTrain"
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.locator(".panel").wait_for()
    page.keyboard.press("Escape")
    page.locator(".panel").wait_for(state="detached")
    assert page.evaluate(FOCUSED) == "?step=PoseTrain"
    page.locator(".graph-view .node").nth(2).press("Enter")
    page.locator(".panel .close").press("Enter")
    page.locator(".panel").wait_for(state="detached")
    assert page.evaluate(FOCUSED).startswith("?step=")


def test_menus_and_questions_close_by_escape(at):
    page = at("pipeline")
    page.get_by_text("Columns").press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.name") == "column"
    page.keyboard.press("Escape")
    assert page.locator("details.menu[open]").count() == 0
    assert page.evaluate(FOCUSED).startswith("Columns")
    page = at("bucket")
    page.get_by_text("Delete…").press("Enter")
    page.get_by_role("button", name="Delete for good").focus()
    page.keyboard.press("Escape")
    assert not page.get_by_role("button", name="Delete for good").is_visible()
    assert page.evaluate(FOCUSED) == "Delete…"
