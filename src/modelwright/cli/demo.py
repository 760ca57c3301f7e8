"""`modelwright demo`: the workshop, end to end."""

from __future__ import annotations

COMMANDS = ()
