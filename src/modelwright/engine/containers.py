"""A job's container: its folder on this machine, what is mounted where, the command and the environment.

A job has a folder of its own beside the runtime's: `ml` is its /opt/ml, `outputs` the folders of outputs that lie
elsewhere, `scratch` what the engine puts together for it. Only `ml` and `outputs` are seen by the container, which may
have made anything of what is inside them.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from modelwright.engine.capacity import Share, instance_type
from modelwright.engine.inputs import mount_input, restore
from modelwright.engine.opt_ml import HOST, ROOT, Contract, Output
from modelwright.engine.outputs import Tree
from modelwright.objects.base import ObjectStore
from modelwright.runtimes.base import ContainerSpec, Image, Limits, Mount, Network

HOSTS = Path("/etc/hosts")


@dataclass(frozen=True)
class JobFolder:
    """Where a job's files are on this machine."""

    root: Path

    @property
    def ml(self) -> Path:
        return self.root / "ml"

    @property
    def scratch(self) -> Path:
        return self.root / "scratch"

    def tree(self, output: Output) -> Tree:
        """The folder behind an output's LocalPath."""
        inside = output.target.startswith(f"{ROOT}/") and not output.target.startswith(f"{ROOT}/processing")
        if inside:
            return Tree(self.ml, output.target[len(ROOT) + 1 :])
        return Tree(self.root / "outputs" / quote(output.name, safe="").replace(".", "%2E"))

    def text(self, relative: str, limit: int) -> str:
        """The beginning of a file below /opt/ml that the job wrote; empty when there is none, or no plain file."""
        folder, _, name = relative.rpartition("/")
        place = Tree(self.ml, folder).path()
        if place is None:
            return ""
        try:
            descriptor = os.open(place / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return ""
        with os.fdopen(descriptor, "rb") as file:
            plain = stat.S_ISREG(os.fstat(descriptor).st_mode)
            return file.read(4 * limit).decode(errors="replace")[:limit] if plain else ""

    def remove(self) -> None:
        shutil.rmtree(self.root, ignore_errors=True)


class Containers:
    """Makes folders and specs of contracts."""

    def __init__(
        self,
        *,
        objects: ObjectStore,
        client_environment: Callable[[str, str], Mapping[str, str]],
        total: Share,
        hosts: Path,
    ) -> None:
        """`client_environment(region, event stream)` lets AWS's clients inside a job find this server, with a key of
        the job's own; `hosts` is written.
        """
        self._objects = objects
        self._hosts = _write_hosts(hosts)
        self._client_environment = client_environment
        self._total = total

    def make(self, contract: Contract, folder: JobFolder, image: Image, name: str, share: Share) -> ContainerSpec:
        """Make the job's folder, from nothing. Raises AwsError."""
        if folder.root.exists():
            shutil.rmtree(folder.root)
        os.makedirs(folder.root, mode=0o700)
        ml = str(folder.ml)
        for path in ("", *contract.folders):
            os.mkdir(f"{ml}/{path}")
        for path, text in contract.files.items():
            with open(f"{ml}/{path}", "w", encoding="utf-8") as file:
                file.write(text)
        for output in contract.uploads:
            place = folder.tree(output).place
            if not place.exists():
                os.makedirs(place)
        spec = self.spec(contract, folder, image, name, share)
        if contract.checkpoints is not None:
            restore(self._objects, contract.checkpoints.uri, folder.tree(contract.checkpoints).place)
        return spec

    def spec(self, contract: Contract, folder: JobFolder, image: Image, name: str, share: Share) -> ContainerSpec:
        """What to start; touches nothing that a container which runs already could see. Raises AwsError."""
        mounts = [Mount(folder.ml, ROOT, "rw")]
        mounts += [mount_input(self._objects, wanted, folder.scratch) for wanted in contract.inputs]
        for output in contract.uploads:
            place = folder.tree(output).place
            if not place.is_relative_to(folder.ml):
                mounts.append(Mount(place, output.target, "rw"))
        client: Mapping[str, str] = {}
        if not contract.isolated:
            client = self._client_environment(contract.region, f"{contract.kind}-job/{contract.name}")
        # The certificates and the SDK's settings that it names lie in the home folder, which jobs don't see.
        mounts += [Mount(Path(path), path) for path in sorted({value for value in client.values() if _is_file(value)})]
        mounts += self._hosts
        mounts.sort(key=lambda mount: mount.target.count("/"))  # what is mounted inside another comes after it
        return ContainerSpec(
            name=name,
            image=image,
            argv=contract.command(image),
            environment={**client, **contract.environment},
            mounts=tuple(mounts),
            limits=Limits(
                cpus=share.cpus if share.cpus < self._total.cpus else None,
                memory=share.memory if share.memory < self._total.memory else None,
            ),
            network=Network() if contract.isolated else None,
        )

    def notes(self, contract: Contract, share: Share) -> list[str]:
        """What the job's log should say about its instance."""
        wanted = instance_type(contract.instance_type)
        if wanted is None:
            return []
        notes = []
        if wanted.vcpus > share.cpus or wanted.memory > share.memory:
            has = Share(wanted.vcpus, wanted.memory)
            notes.append(f"{wanted.name} has {has}; this machine gives the job {share}.")
        if wanted.gpus:
            notes.append(f"{wanted.name} has {wanted.gpus} GPU; the job sees the GPUs of this machine, if it has any.")
        return notes


def _write_hosts(file: Path) -> list[Mount]:
    """A job's own name leads to itself: AWS's toolkit waits until it does."""
    try:
        known = HOSTS.read_text(errors="replace")
    except OSError:
        return []
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_suffix(".new")
    new.write_text(f"{known.rstrip()}\n127.0.0.1 {HOST}\n")
    new.replace(file)
    return [Mount(file, str(HOSTS))]


def _is_file(value: str) -> bool:
    """Whether an environment variable's value names a file."""
    return value.startswith("/") and os.path.isfile(value)
