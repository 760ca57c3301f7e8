"""Image URIs: what names the same image. Pure.

The rule: an image is known by its repository and tag. An ECR host (`<account>.dkr.ecr.<region>.amazonaws.com/`, any
account and region) and Docker Hub's own prefixes are taken off, so an image built with `-t my-train:latest` is the
one that `111122223333.dkr.ecr.us-east-1.amazonaws.com/my-train:latest` names: there is one machine, and a script that
runs here and on AWS must find its image under AWS's name. Any other registry host stays part of the repository.
No tag is `latest`; a digest names the content itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from modelwright.errors import ValidationException

_ECR = re.compile(r"\d{12}\.dkr[.-]ecr(-fips)?\.[a-z0-9-]+\.(amazonaws\.com(\.cn|\.eu)?|on\.aws)")
_PUBLIC_ECR = "public.ecr.aws"
_DOCKER_HUB = ("docker.io", "index.docker.io", "registry-1.docker.io")
_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:[._/]|__|-+)[a-z0-9]+)*")
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*(:\d+)?")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Reference:
    """A parsed URI. `ecr`: it named an ECR registry, private or public (where AWS's framework images live)."""

    repository: str
    tag: str
    digest: str | None = None
    ecr: bool = False

    @property
    def name(self) -> str:
        """The last part of the repository: what AWS's framework images are known by."""
        return self.repository.rsplit("/", 1)[-1]

    def __str__(self) -> str:
        return f"{self.repository}@{self.digest}" if self.digest else f"{self.repository}:{self.tag}"


def parse_reference(uri: str) -> Reference:
    """Raises ValidationException when `uri` can't be an image's name."""
    rest, _, digest = uri.partition("@")
    host, separator, path = rest.partition("/")
    named_host = bool(separator) and ("." in host or ":" in host or host == "localhost")
    if not named_host:
        host, path = "", rest
    repository, tag = path, ""
    if ":" in path.rsplit("/", 1)[-1]:
        repository, _, tag = path.rpartition(":")
    if (
        not _REPOSITORY.fullmatch(repository)
        or len(repository) > 256
        or (tag and not _TAG.fullmatch(tag))
        or ("@" in uri and not _DIGEST.fullmatch(digest))
        or rest.endswith(":")
        or (host and not _HOST.fullmatch(host))
    ):
        raise ValidationException(f"'{uri}' is not an image URI ([REGISTRY/]REPOSITORY[:TAG] or ...@sha256:DIGEST).")
    ecr = bool(_ECR.fullmatch(host)) or host == _PUBLIC_ECR
    if host and not _ECR.fullmatch(host) and host not in _DOCKER_HUB:
        repository = f"{host}/{repository}"
    for prefix in (f"{_PUBLIC_ECR}/docker/library/", "library/"):
        repository = repository.removeprefix(prefix)
    return Reference(repository, tag or "latest", digest or None, ecr)
