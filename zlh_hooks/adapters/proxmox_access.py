"""Where Proxmox is, and as whom it is entered."""

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Protocol


class Reach(Protocol):
    """What the settings say of a cluster; the secret lies elsewhere."""

    @property
    def host(self) -> str:
        """A node's name or address; any node of the cluster will do."""

    @property
    def port(self) -> int:
        """8006 unless something stands in front."""

    @property
    def user(self) -> str:
        """With realm, e.g. ``zlh@pve``."""

    @property
    def token_name(self) -> str:
        """Without the user, e.g. ``hooks``."""

    @property
    def ca_file(self) -> Path | None:
        """Whom to trust, e.g. ``/etc/pve/pve-root-ca.pem``; None means the system's authorities."""

    @property
    def timeout(self) -> timedelta:
        """How long an answer may take."""


@dataclass(frozen=True, slots=True)
class Access:
    """A reach and the token's secret, which no representation shows."""

    host: str
    user: str
    token_name: str
    token: str = field(repr=False)
    port: int = 8006
    ca_file: Path | None = None
    timeout: timedelta = timedelta(seconds=30)

    @classmethod
    def open(cls, reach: Reach, token: str) -> "Access":
        """The reach as settings give it, with its token."""
        return cls(reach.host, reach.user, reach.token_name, token, reach.port, reach.ca_file, reach.timeout)
