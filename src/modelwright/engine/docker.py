"""Where the `docker` command of builds asks: a socket in the build's own folder, which nobody else can see."""

from __future__ import annotations

from pathlib import Path


class DockerDesk:
    """One socket a build."""

    def folder(self, build: Path) -> Path:
        """The folder of the socket, which the container sees."""
        place = build / "docker"
        place.mkdir(exist_ok=True)
        return place

    def open(self, stream: str, build: Path, region: str) -> None:
        """Answer this build's requests; again is once."""

    def close(self, stream: str) -> None:
        """Answer no more, and end what is under way."""
