"""Settings and policy files: fragments, merged, then valid and frozen.

``zlh-hooks.toml`` says how to reach things, ``policy.toml`` what may happen. Files ``*.toml`` in ``zlh-hooks.d/`` and
``policy.d/`` beside them are merged over them in order of their names: tables merge, arrays of tables (windows,
freezes, probes) are appended to, so that a drop-in takes no window or freeze away, and all else is replaced.
"""

import os
import platform
import re
import stat
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, Field, StrictInt, ValidationError, field_validator

from zlh_hooks.dead_man_settings import DeadManSettings
from zlh_hooks.domain.deferral_link import SHORTEST_KEY
from zlh_hooks.domain.errors import SettingsError
from zlh_hooks.domain.flaw import Place, list_flaws, render_place
from zlh_hooks.domain.policy import Policy
from zlh_hooks.domain.value import AbsolutePath, PositiveDuration, Value
from zlh_hooks.notice_settings import (
    DeferralSettings,
    DirectorySettings,
    FeedSettings,
    MailSettings,
    OperatorSettings,
    WebhookSettings,
)

ETC = Path("/etc/zlh-hooks")
SHIPPED_POLICY = Path(__file__).parent / "shipped" / "policy.toml"
"""A complete policy, which ``init`` puts in place."""
STATE = Path("/var/lib/zlh-hooks")
METRICS_SUFFIX = ".prom"
EXPECTED_TEXTFILE = f"a file whose name ends in {METRICS_SUFFIX}: node_exporter reads no other"
CREDENTIAL = "proxmox-token"
ONLINE_CREDENTIAL = "agent-online-password"
Model = TypeVar("Model", bound=BaseModel)
Reader = Callable[[Path], Mapping[str, Any]]
_HEADER = re.compile(r"\s*\[+\s*([A-Za-z0-9_-]*)")


class ProxmoxSettings(Value):
    """How to reach the cluster's API. Certificates are always verified."""

    host: str = Field(pattern=r"^[A-Za-z0-9.:-]+$", description="A node's name or address, without https:// or path.")
    port: StrictInt = Field(default=8006, ge=1, le=65535, description="The API's port.")
    user: str = Field(default="zlh@pve", pattern=r"^[^@!\s]+@[^@!\s]+$", description="The token's user with its realm.")
    token_name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9._-]*$", description="The token's name, without user.")
    token_file: AbsolutePath | None = Field(
        default=None, description="The token's secret; not world-readable. Else the systemd credential proxmox-token."
    )
    ca_file: AbsolutePath | None = Field(
        default=None, description="CA of the API's certificate; the system's trust if left out."
    )
    timeout: PositiveDuration = Field(default=timedelta(seconds=10), description="How long an answer may take.")


class LedgerSettings(Value):
    """Where the record lies."""

    path: AbsolutePath = Field(default=STATE / "ledger.sqlite", description="The SQLite file.")


class WorkerSettings(Value):
    """The process that executes."""

    name: str = Field(default_factory=platform.node, min_length=1, description="How this controller is called.")
    log: AbsolutePath = Field(default=STATE / "worker.log", description="What a detached worker prints.")


class MetricsSettings(Value):
    """What monitoring reads of this site."""

    textfile: AbsolutePath | None = Field(
        default=None, description="Kept fresh by the worker, for node_exporter; its name ends in .prom."
    )

    @field_validator("textfile")
    @classmethod
    def _check_name(cls, path: Path | None) -> Path | None:
        if path is not None and path.suffix != METRICS_SUFFIX:
            raise ValueError(EXPECTED_TEXTFILE)
        return path


def _check_host(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError as error:
        reason = "with a name, a fault of the name server would look like one of the machine"
        raise ValueError(f"an IP address such as 203.0.113.7: {reason}") from error


HostAddress = Annotated[str, AfterValidator(_check_host)]


class WatchSettings(Value):
    """Where ``downtime watch`` finds what the policy watches from outside."""

    reference: HostAddress = Field(description="The address of somebody else's machine that is hardly ever away.")
    addresses: Mapping[str, HostAddress] = Field(default={}, description="Each point's public address, by its name.")


class AgentSettings(Value):
    """Where the repository lies that agents read, and the keys that sign it."""

    folder: AbsolutePath = Field(default=STATE / "agents", description="Drafts that wait for signatures.")
    public: AbsolutePath = Field(
        default=Path("/var/lib/zlh-hooks-public/agents"),
        description="What a web server carries; any static one will do.",
    )
    keys: AbsolutePath = Field(default=ETC / "agent-keys", description="People's key files; for whoever signs alone.")
    online_keys: AbsolutePath = Field(
        default=STATE / "agents" / "online",
        description="The key of this machine, with which the worker publishes; for the worker's user alone.",
    )
    online_password_file: AbsolutePath | None = Field(
        default=None,
        description="Opens the online key; not world-readable. Else the systemd credential agent-online-password, else "
        "a person is asked.",
    )
    report_port: StrictInt = Field(
        default=18889, ge=1, le=65535, description="Where guests answer for their reports: zlh-agent-report.socket."
    )
    report_timeout: PositiveDuration = Field(
        default=timedelta(seconds=10), description="How long one guest's report may take."
    )


class Settings(Value):
    """The whole settings file."""

    proxmox: ProxmoxSettings
    ledger: LedgerSettings = LedgerSettings()
    worker: WorkerSettings = Field(default_factory=WorkerSettings)
    agents: AgentSettings = AgentSettings()
    directory: DirectorySettings | None = None
    mail: MailSettings | None = None
    webhook: WebhookSettings | None = None
    feed: FeedSettings | None = None
    deferral: DeferralSettings | None = None
    operator: OperatorSettings | None = None
    metrics: MetricsSettings = MetricsSettings()
    watch: WatchSettings | None = None
    dead_man: DeadManSettings | None = None


class _DeadManAlone(Value):
    dead_man: DeadManSettings | None = None


def find_policy(path: Path | None = None) -> Path:
    """The policy's file: the argument, else ``ZLH_HOOKS_POLICY``, else in /etc."""
    return path or Path(os.environ.get("ZLH_HOOKS_POLICY") or ETC / "policy.toml")


def find_settings(path: Path | None = None) -> Path:
    """The settings' file: the argument, else ``ZLH_HOOKS_CONFIG``, else in /etc."""
    return path or Path(os.environ.get("ZLH_HOOKS_CONFIG") or ETC / "zlh-hooks.toml")


def load_policy(path: Path | None = None) -> Policy:
    """Read and check the policy; ``SettingsError`` names file, key, what was found and what would be right."""
    return _load(find_policy(path), Policy)


def load_settings(path: Path | None = None) -> Settings:
    """Read and check the settings; errors as for the policy."""
    return _load(find_settings(path), Settings)


def load_dead_man(path: Path | None = None) -> DeadManSettings | None:
    """The dead man's table by itself, whatever is wrong beside it; None if no file that can be read has it.

    ``SettingsError`` for what is wrong within it.
    """
    return _load(find_settings(path), _DeadManAlone, lambda file: _read_alone(file, "dead_man")).dead_man


def read_token(settings: Settings) -> str:
    """The token's secret, from its file or from the service manager's credential directory."""
    configured = settings.proxmox.token_file
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    if configured is None and directory is None:
        raise SettingsError(
            "zlh-hooks.toml", "proxmox.token_file", "nothing", f"a file, or the credential {CREDENTIAL}"
        )
    path = configured or Path(str(directory)) / CREDENTIAL
    return read_secret(path, "proxmox.token_file")


def find_online_password(settings: Settings) -> str | None:
    """What opens the key of the machine that publishes, from its file or credential; None: somebody must type it."""
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    credential = Path(directory) / ONLINE_CREDENTIAL if directory else None
    path = settings.agents.online_password_file or (credential if credential and credential.exists() else None)
    return read_secret(path, "agents.online_password_file") if path else None


def read_secret(path: Path, key: str) -> str:
    """A secret's file, refused if others than its owner and group may read it. No error shows its content."""
    try:
        with path.open(encoding="ascii") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            secret = file.read().strip()
    except OSError as error:
        raise SettingsError(str(path), key, error.strerror or str(error), "a readable file") from error
    except UnicodeDecodeError as error:
        raise SettingsError(str(path), key, "other characters than ASCII", "the secret alone") from error
    if mode & stat.S_IRWXO:
        raise SettingsError(str(path), key, f"mode {mode:04o}, open to everybody", "mode 0600 or 0640")
    if len(secret.split()) != 1:
        raise SettingsError(str(path), key, "several words" if secret else "an empty file", "the secret alone")
    return secret


def read_key(path: Path, key: str) -> str:
    """A secret that signs for a long time, so that nobody may guess it; errors as for others."""
    secret = read_secret(path, key)
    if len(secret) < SHORTEST_KEY:
        expected = f"at least {SHORTEST_KEY}, such as `openssl rand -hex 32` makes"
        raise SettingsError(str(path), key, f"{len(secret)} characters", expected)
    return secret


@dataclass(frozen=True, slots=True)
class _Merged:
    """The content of a file and its drop-ins, and which of them each value comes from."""

    main: Path
    data: dict[str, Any] = field(default_factory=dict)
    origins: dict[Place, Path] = field(default_factory=dict)

    def add(self, fragment: Mapping[str, Any], file: Path) -> None:
        """Lay a fragment over what is there."""
        self._merge(self.data, fragment, file, ())

    def _merge(self, into: dict[str, Any], fragment: Mapping[str, Any], file: Path, place: Place) -> None:
        for key, value in fragment.items():
            here = (*place, key)
            old = into.get(key)
            if isinstance(value, dict) and isinstance(old, dict):
                self._merge(old, value, file, here)
            elif isinstance(old, list) and _is_table_array(value) and _is_table_array(old):
                self.origins.update({(*here, len(old) + number): file for number in range(len(value))})
                into[key] = [*old, *value]
            else:
                into[key] = value
                self.origins[here] = file

    def file_of(self, place: Place) -> Path:
        """The file that says what stands there, or would have to."""
        nearest = (place[:length] for length in range(len(place), 0, -1))
        return next((self.origins[part] for part in nearest if part in self.origins), self.main)


def _is_table_array(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def list_fragments(path: Path) -> tuple[Path, ...]:
    """A file and the drop-ins beside it, in the order in which they count."""
    return (path, *sorted(path.with_suffix(".d").glob("*.toml")))


def _load(path: Path, model: type[Model], read: Reader | None = None) -> Model:
    merged = _Merged(path)
    for file in list_fragments(path):
        merged.add((read or _read_toml)(file), file)
    try:
        return model.model_validate(merged.data)
    except ValidationError as error:
        raise _translate(error, merged, model) from error


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        expected = "a readable TOML file; zlh-hooks init writes the first one"
        raise SettingsError(str(path), "file", "No such file or directory", expected) from error
    except OSError as error:
        raise SettingsError(str(path), "file", error.strerror or str(error), "a readable TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(str(path), "syntax", str(error), "valid TOML in UTF-8") from error


def _read_alone(path: Path, table: str) -> dict[str, Any]:
    """What a file says of this table, even if it is no TOML above or below; nothing if that cannot be known."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
        data = _parse_toml(text) or _parse_toml(_cut_table(text, table)) or {}
    except OSError:
        return {}
    return {table: data[table]} if table in data else {}


def _parse_toml(text: str) -> dict[str, Any] | None:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None


def _cut_table(text: str, table: str) -> str:
    """The lines of the table and of those within it: from each of their headers to the next header, also a torn one."""
    kept, is_inside = [], False
    for line in text.splitlines(keepends=True):
        if header := _HEADER.match(line):
            is_inside = header[1] == table
        kept += [line] if is_inside else []
    return "".join(kept)


def _translate(error: ValidationError, merged: _Merged, model: type[BaseModel]) -> SettingsError:
    """Every fault that pydantic found: the first is the error, the others follow in its ``more``."""
    first, *more = (
        SettingsError(str(merged.file_of(flaw.place)), render_place(flaw.place), flaw.found, flaw.expected)
        for flaw in list_flaws(error, merged.data, model)
    )
    first.more = tuple(more)
    return first
