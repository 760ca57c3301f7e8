"""What axe finds on a page of Studio's. Skips, with the reason, where axe is missing."""

import pytest

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is missing: scripts/test installs it")
RULES = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
}
CONTRAST = {"runOnly": {"type": "rule", "values": ["color-contrast"]}}


def problems(page, rules=RULES):
    """[(rule, the first elements that break it, with what is wrong)]"""
    found = axe.Axe().run(page, options=rules).response["violations"]
    return [
        (each["id"], [(node["html"][:200], node["failureSummary"]) for node in each["nodes"][:3]]) for each in found
    ]


def problems_in_both_themes(page):
    """The same with all that is folded away, in light; and the contrast in dark."""
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    found = problems(page)
    page.emulate_media(color_scheme="dark")
    return found + problems(page, CONTRAST)
