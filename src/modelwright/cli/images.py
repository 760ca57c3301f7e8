"""`modelwright images`: what jobs' image URIs stand for on this machine. Works with or without a running server."""

from __future__ import annotations

COMMANDS = ()
