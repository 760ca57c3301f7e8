"""Times on the wire: epoch seconds inside, and the three ways that AWS writes them.

`iso8601` (query and XML bodies, milliseconds), `rfc822` (headers, whole seconds), `unixTimestamp` (JSON bodies).
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from email.utils import formatdate, parsedate_to_datetime

EARLIEST = datetime(1, 1, 1, tzinfo=UTC).timestamp()
LATEST = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()


def read(text: str) -> float | None:
    """Epoch seconds of a time in any of the three ways; None when it is none of them."""
    text = text.strip()
    try:
        seconds = float(text)
    except ValueError:
        pass
    else:
        return seconds if math.isfinite(seconds) and EARLIEST <= seconds <= LATEST else None
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = parse(text)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, TypeError, OverflowError, IndexError):
            continue
    return None


def write(seconds: float, format: str) -> str:
    """The time as text in `format`: iso8601, rfc822 or unixTimestamp. Raises ValueError beyond the years 1 to 9999."""
    match format.lower():
        case "rfc822":
            return formatdate(math.floor(seconds), usegmt=True)
        case "unixtimestamp":
            return str(unix(seconds))
        case _:
            milliseconds = round(seconds * 1000)
            whole = datetime.fromtimestamp(milliseconds // 1000, UTC).isoformat()[:19]
            return f"{whole}.{milliseconds % 1000:03d}Z"


def unix(seconds: float) -> int | float:
    """A JSON number as AWS writes it: milliseconds at most, no fraction where there is none."""
    rounded = round(seconds, 3)
    return int(rounded) if rounded == int(rounded) else rounded
