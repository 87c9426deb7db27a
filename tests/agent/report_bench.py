"""A guest's key, document and port without systemd: what its units do is done by hand."""

import os
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent_plugin.guest_key import GuestKey, ensure_key
from agent_plugin.place import Place
from agent_plugin.report_port import KEY, STATUS, Desk, answer
from agent_plugin.wire import Status, render_status

STATUS_NOW = Status("2026-11-23T22:04:05+00:00", current="1.4.0-0a1b2c3d", step="END", outcome="installed")


class ReportGuest:
    """One guest below a folder."""

    def __init__(self, root: Path, machine: str = "a" * 32) -> None:
        self.place = Place(root)
        (root / "etc").mkdir(parents=True)
        self.place.state.mkdir(parents=True)
        self.become(machine)
        self.tell(STATUS_NOW)

    def become(self, machine: str) -> None:
        """Give it that machine-id."""
        self.place.machine_id.write_text(f"{machine}\n")

    def tell(self, status: Status) -> None:
        self.place.status.write_text(render_status(status))

    def key(self) -> GuestKey:
        return ensure_key(self.place)

    def clone(self, root: Path, machine: str) -> "ReportGuest":
        """All of it in another place, as Proxmox copies a root; then the boot gives it an id."""
        shutil.copytree(self.place.root, root)
        copied = ReportGuest.__new__(ReportGuest)
        copied.place = Place(root)
        copied.become(machine)
        return copied

    def desk(self) -> Desk:
        """With its files as credentials."""
        folder = self.place.root / "credentials"
        folder.mkdir(exist_ok=True)
        for name, source in ((KEY, self.place.report_key), (STATUS, self.place.status)):
            (folder / name).unlink(missing_ok=True)
            if source.exists():
                shutil.copy(source, folder / name)
        return Desk(folder, self.place)

    @contextmanager
    def port(self, host: str = "127.0.0.1", number: int = 0) -> "Iterator[int]":
        """A listener that answers each connection as the socket unit's processes do; its port."""
        with socket.create_server((host, number)) as listener:
            thread = threading.Thread(target=self._accept, args=(listener,), daemon=True)
            thread.start()
            yield listener.getsockname()[1]
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                answer(connection, self.desk())


def command_environment(folder: Path) -> "dict[str, str]":
    """What systemd sets for a process with credentials."""
    return {**os.environ, "CREDENTIALS_DIRECTORY": str(folder)}
