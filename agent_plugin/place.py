"""Where everything lies in a guest. Tests put it all below a folder."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Place:
    """All paths follow from ``root``; in a guest that is ``/``."""

    root: Path = Path("/")

    @property
    def home(self) -> Path:
        """The agent's own directory: releases and the links that choose one."""
        return self.root / "opt/zlh-agent"

    @property
    def releases(self) -> Path:
        """A directory per release, see :mod:`agent_plugin.slot`."""
        return self.home / "releases"

    @property
    def current(self) -> Path:
        """The link to the release that the agent's unit starts."""
        return self.home / "current"

    @property
    def previous(self) -> Path:
        """The link to the release before it, once the present one is proved."""
        return self.home / "previous"

    @property
    def back(self) -> Path:
        """The way back, made before the flip: renamed to ``current`` it reverts, renamed to ``previous`` it commits."""
        return self.home / "back"

    @property
    def state(self) -> Path:
        """What the plugin remembers; root's alone."""
        return self.root / "var/lib/zlh-agent-plugin"

    @property
    def transaction(self) -> Path:
        """The swap under way, or the last one."""
        return self.state / "state.json"

    @property
    def blocked(self) -> Path:
        """Releases that failed here and are not tried again."""
        return self.state / "blocked.json"

    @property
    def status(self) -> Path:
        """The status document, see :mod:`agent_plugin.wire`."""
        return self.state / "status.json"

    @property
    def report_key(self) -> Path:
        """What signs this guest's reports, see :mod:`agent_plugin.guest_key`; in a folder that no swap cleans."""
        return self.state / "report/key.json"

    @property
    def machine_id(self) -> Path:
        """What systemd calls this machine; another one in each clone."""
        return self.root / "etc/machine-id"

    @property
    def failed_log(self) -> Path:
        """The end of the journal of the release that failed last."""
        return self.state / "failed.log"

    @property
    def trust(self) -> Path:
        """What was verified of the repository, and the marks of what was seen; see :mod:`agent_plugin.trust`."""
        return self.state / "trust"

    @property
    def checked(self) -> Path:
        """How the last check ended."""
        return self.state / "checked.json"

    @property
    def first_root(self) -> Path:
        """The repository's root document that whoever runs the platform has put into this guest."""
        return self.root / "etc/zlh-agent-plugin.root.json"

    @property
    def patch(self) -> Path:
        """The patch of packages under way, or the last one; see :mod:`agent_plugin.patch_state`."""
        return self.state / "patch.json"

    @property
    def patched(self) -> Path:
        """The last patch that was proved: what ``patch revert`` goes back from."""
        return self.state / "patched.json"

    @property
    def wishes(self) -> Path:
        """What became of each wish here; see :mod:`agent_plugin.wish_book`."""
        return self.state / "wishes.json"

    @property
    def wished(self) -> Path:
        """The wish that the last check found, for telling of it."""
        return self.state / "wished.json"

    @property
    def packages(self) -> Path:
        """A folder per patch, with the packages to go back to; apt's own user must be able to enter it."""
        return self.root / "var/lib/zlh-agent-plugin-packages"

    @property
    def lock(self) -> Path:
        """Held by the one plugin that works."""
        return self.state / "lock"

    @property
    def download(self) -> Path:
        """Archives on their way in."""
        return self.state / "download"

    @property
    def pending(self) -> Path:
        """There while a release is on trial: the release on trial, the one to go back to, the start that ran before."""
        return self.state / "pending"

    @property
    def last_exit(self) -> Path:
        """How the release on trial ended last: systemd's result, code and status, in one line."""
        return self.state / "last-exit"

    @property
    def revert(self) -> Path:
        """The shell script that goes back."""
        return self.root / "usr/lib/zlh-agent-plugin/net/revert"

    @property
    def settings(self) -> Path:
        """Optional; see :mod:`agent_plugin.setting`."""
        return self.root / "etc/zlh-agent-plugin.conf"

    def attempt(self, number: int) -> Path:
        """Marks how often the release on trial was started; the nets count by renaming it, which needs no space."""
        return self.state / f"attempt-{number}"

    def reverted(self, net: str) -> Path:
        """What ``pending`` becomes when somebody went back; ``net`` says who."""
        return self.state / f"reverted-{net}"
