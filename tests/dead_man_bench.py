"""Whom a dead man's switch reaches: a real mail server and two real web servers, and what it remembers."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from tests.adapters.mail_bench import Post, mail_server
from tests.adapters.web_bench import Receiver, receiver

SECRET = "a-secret-in-the-url"
RULES = """
[dead_man]
heartbeat_url_file = "{folder}/heartbeat-url"
{memory}
[dead_man.mail]
host = "localhost"
port = {mail}
security = "none"
sender = "alarm@example.com"
to = ["ada@example.com", "bob@example.com"]
[dead_man.webhook]
url_file = "{folder}/alarm-url"
shape = "discord"
allow_private = true
"""
_STAMP = re.compile(r'"(\d{4}-\d\d-\d\dT[^"]+)"')


@dataclass
class Duty:
    """Two people on duty, their chat, and a service elsewhere that expects calls."""

    folder: Path
    post: Post
    hook: Receiver
    service: Receiver

    @property
    def settings(self) -> str:
        """The table that names them."""
        return self._render(self.folder, f'memory = "{self.folder}/memory.json"')

    def settings_in(self, folder: str) -> str:
        """The same where the files lie in that folder, and memory where it lies by itself."""
        return self._render(folder, "")

    def _render(self, folder: Path | str, memory: str) -> str:
        return RULES.format(folder=folder, memory=memory, mail=self.post.port)

    def let_pass(self, length: timedelta) -> None:
        """As if so much time had passed since the last look."""
        memory = self.folder / "memory.json"
        text = _STAMP.sub(lambda found: json.dumps(str(datetime.fromisoformat(found[1]) - length)), memory.read_text())
        memory.write_text(text)

    def recipients(self) -> list[str]:
        """Of all mails, sorted: they are sent side by side."""
        return sorted(address for _, addresses, _ in self.post.taken for address in addresses)

    def subjects(self) -> list[str]:
        """Of all mails, without the controller's name."""
        return [str(mail["Subject"]).partition("] ")[2] for mail in self.post.read_mails()]


@contextmanager
def on_duty(folder: Path) -> Iterator[Duty]:
    """All servers run, and the URLs lie in files."""
    with mail_server() as post, receiver() as hook, receiver() as service:
        for name, port in (("alarm-url", hook.port), ("heartbeat-url", service.port)):
            (folder / name).touch(mode=0o600)
            (folder / name).write_text(f"http://127.0.0.1:{port}/{SECRET}\n")
        yield Duty(folder, post, hook, service)
