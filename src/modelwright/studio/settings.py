"""Settings: who you are, where the platform lives, language and theme."""

from __future__ import annotations

import shutil

from starlette.responses import Response

from modelwright.studio.view import THEMES, Route, View


def routes() -> list[Route]:
    return [("/settings", ("GET",), show)]


async def show(view: View) -> Response:
    identity = await view.call("GetCallerIdentity", "sts")
    disk = shutil.disk_usage(view.place.facts["home"])
    return view.page("settings.html", identity=identity, disk=disk, themes=THEMES)
