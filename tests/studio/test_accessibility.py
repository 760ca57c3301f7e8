"""Every page is looked at by axe, in light and dark; the keyboard reaches and works everything."""

import pytest

from support.furnished import PAGES, finish, furnish, known
from support.server import Server
from support.studio import sign_in_link

axe_module = pytest.importorskip(
    "axe_playwright_python.sync_playwright", reason="axe is missing: scripts/test installs it"
)
RULES = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
}
ALIKE = {
    "execution-stopped", "execution-worst", "execution-wide-timeline", "pipeline-long", "pipeline-long-parameters",
    "bucket-long", "jobs-processing", "job", "execution-information", "group-empty",
}  # fmt: skip
"""Pages that have another's parts, with other values."""
CONTRAST = {"runOnly": {"type": "rule", "values": ["color-contrast"]}}


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
    """One page, signed in, for all of them."""
    context = chromium.new_context(viewport={"width": 1280, "height": 800}, locale="en-US", reduced_motion="reduce")
    page = context.new_page()
    page.set_default_timeout(30_000)
    page.goto(sign_in_link(furnished[0]))
    page.wait_for_url("**/studio/")
    yield page
    context.close()


def problems(page, rules):
    found = axe_module.Axe().run(page, options=rules).response["violations"]
    return [
        (each["id"], [(node["html"][:200], node["failureSummary"]) for node in each["nodes"][:3]]) for each in found
    ]


@pytest.mark.parametrize("name", [name for name in PAGES if name not in ALIKE])
def test_axe_finds_nothing(reader, furnished, name):
    server, ids = furnished
    reader.emulate_media(color_scheme="light")
    reader.goto(f"{server.url}/studio{PAGES[name].format(**ids)}")
    # What is folded away is a part of the page too.
    reader.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    assert problems(reader, RULES) == []
    reader.emulate_media(color_scheme="dark")
    assert problems(reader, CONTRAST) == []
