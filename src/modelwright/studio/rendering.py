"""The templates' environment: what they may call to show times, sizes, states and addresses."""

from __future__ import annotations

import hashlib
import json
import math
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from modelwright.studio.texts import HOURS, LANGUAGES, MINUTES, SECONDS, STATUSES, STEP_TYPES, Texts
from modelwright.studio.view import link

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def templates(static: Path) -> Environment:
    """`static` is the folder whose files the templates name by `static(...)`."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    versions: dict[str, str] = {}

    def address(name: str) -> str:
        """A static file's, with its version: it may be kept for ever."""
        if name not in versions:
            versions[name] = hashlib.sha256((static / name).read_bytes()).hexdigest()[:12]
        return f"{link('static')}/{name}?v={versions[name]}"

    environment.globals.update(
        static=address, link=link, when=when, elapsed=elapsed, colour=colour, status_text=status_text,
        languages=LANGUAGES, step_types=STEP_TYPES,
    )  # fmt: skip
    environment.filters.update(size=size, pretty=pretty, number=number, duration=_duration)
    return environment


def colour(status: str) -> str:
    return STATUSES.get(status, ("idle", ""))[0]


def status_text(status: str) -> str:
    return STATUSES.get(status, ("", status))[1]


def when(seconds: float | None, *, relative: bool = False) -> Markup:
    """A moment: in UTC, until the page's script puts it into the viewer's zone."""
    if seconds is None:
        return Markup('<span class="faint">–</span>')
    moment = datetime.fromtimestamp(seconds, UTC)
    form = '<time datetime="{}" data-ago="{}">{}</time>' if relative else '<time datetime="{}" data-when="{}">{}</time>'
    return Markup(form).format(  # noqa: S704  # one of the two texts above
        moment.isoformat(timespec="milliseconds"),
        int(seconds * 1000),
        moment.strftime("%Y-%m-%d %H:%M:%S UTC"),
    )


@pass_context
def elapsed(page: Context, start: float | None, end: float | None) -> Markup:
    """A stretch of time; one without an end goes on counting in the page's script."""
    if start is None:
        return Markup('<span class="faint">–</span>')
    if end is not None:
        return Markup('<span class="number">{}</span>').format(duration(end - start, page["t"]))
    return Markup('<span class="number" data-since="{}">{}</span>').format(
        int(start * 1000), duration(time.time() - start, page["t"])
    )


@pass_context
def _duration(page: Context, seconds: float) -> str:
    return duration(seconds, page["t"])


def duration(seconds: float, texts: Texts) -> str:
    """`0.4 s`, `12 s`, `3 min 05 s`, `2 h 07 min`, in the reader's language."""
    seconds = max(0.0, seconds)
    if seconds < 10:
        return texts(SECONDS, seconds=f"{seconds:.1f}")
    whole = round(seconds)
    if whole < 60:
        return texts(SECONDS, seconds=whole)
    if whole < 3600:
        return texts(MINUTES, minutes=whole // 60, seconds=f"{whole % 60:02}")
    return texts(HOURS, hours=whole // 3600, minutes=f"{whole % 3600 // 60:02}")


def size(count: float) -> str:
    power = 0
    while count >= 1024 and power < len(_UNITS) - 1:
        count /= 1024
        power += 1
    return f"{count:.0f} {_UNITS[power]}" if power == 0 else f"{count:.1f} {_UNITS[power]}"


def number(value: Any) -> str:
    """A metric's value, short and still telling."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or not math.isfinite(value):
        return str(value)
    return f"{value:.5g}"


def pretty(document: Any) -> str:
    """A document as indented JSON."""
    return json.dumps(document, indent=2, ensure_ascii=False, default=str)
