"""One lab: its place, its network, its volumes and its containers."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.lab.container import Containers
from tests.lab.network import enter_command, make_namespace
from tests.lab.place import Place
from tests.lab.requirement import list_missing
from tests.lab.sweep import sweep
from tests.lab.volume import DirectoryVolumes


class Lab:
    """Open it before use and close it after; both sweep what an earlier lab of the same place left.

    ``state`` is its directory: a direct child of the place that ``python -m tests.lab clean`` sweeps.
    """

    def __init__(self, state: Path) -> None:
        self.place = Place(state.resolve())
        self.volumes = DirectoryVolumes(self.place.volumes)
        self.containers = Containers(self.place, self.volumes)

    def open(self) -> Self:
        """Make the place and its network; RuntimeError names what the machine lacks."""
        if missing := list_missing():
            raise RuntimeError("; ".join(missing))
        sweep(self.place.state.parent, self.place.state.name)
        self.place.lxc_path.mkdir(parents=True)
        make_namespace(self.place)
        return self

    def close(self) -> None:
        """Stop every guest and remove everything, the directory too."""
        self.containers.close()
        sweep(self.place.state.parent, self.place.state.name)

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def command(self, *words: str) -> list[str]:
        """The words of a command that runs in the lab's network."""
        return [*enter_command(self.place), *words]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the lab's network; its output is collected, its exit code is the caller's to judge."""
        return subprocess.run(self.command(*words), capture_output=True, text=True, check=False)

    def run_inside(self, vmid: int, *words: str) -> str:
        """What a command prints in a running guest; RuntimeError if it fails."""
        init = str(self.containers.init_pid(vmid))
        return _checked(["nsenter", "--target", init, "--all", "--", *words])


def _checked(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout
