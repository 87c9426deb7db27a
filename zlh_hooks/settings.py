"""Settings and policy files: fragments, merged, then valid and frozen.

``zlh-hooks.toml`` says how to reach things, ``policy.toml`` what may happen. Files ``*.toml`` in ``zlh-hooks.d/`` and
``policy.d/`` beside them are merged over them in order of their names; tables merge, all else is replaced.
"""

import difflib
import os
import platform
import stat
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from zlh_hooks.domain.duration import Duration
from zlh_hooks.domain.errors import SettingsError
from zlh_hooks.domain.policy import Policy

ETC = Path("/etc/zlh-hooks")
STATE = Path("/var/lib/zlh-hooks")
CREDENTIAL = "proxmox-token"
Model = TypeVar("Model", bound=BaseModel)


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ProxmoxSettings(_Section):
    """How to reach the cluster's API."""

    host: str = Field(min_length=1, description="A node's name or address.")
    port: int = Field(default=8006, ge=1, le=65535)
    user: str = Field(pattern=r"^[^@!]+@[^@!]+$", description="The token's user, e.g. zlh@pve.")
    token_name: str = Field(min_length=1, description="The token's name, without user.")
    token_file: Path | None = Field(
        default=None, description="The token's secret; not world-readable. Else the systemd credential proxmox-token."
    )
    ca_file: Path | None = Field(
        default=None, description="CA of the API's certificate; the system's trust if left out."
    )
    timeout: Duration = timedelta(seconds=10)


class LedgerSettings(_Section):
    """Where the record lies."""

    path: Path = STATE / "ledger.sqlite"


class WorkerSettings(_Section):
    """The process that executes."""

    name: str = Field(default_factory=platform.node, min_length=1, description="How this controller is called.")
    log: Path = STATE / "worker.log"


class Settings(_Section):
    """The whole settings file."""

    proxmox: ProxmoxSettings
    ledger: LedgerSettings = LedgerSettings()
    worker: WorkerSettings = Field(default_factory=WorkerSettings)


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


def read_secret(path: Path, key: str) -> str:
    """A secret's file, refused if others than its owner and group may read it."""
    try:
        if path.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
            raise SettingsError(str(path), key, "a file that everybody may read", "mode 0600 or 0640")
        secret = path.read_text().strip()
    except OSError as error:
        raise SettingsError(str(path), key, error.strerror or str(error), "a readable file") from error
    if not secret:
        raise SettingsError(str(path), key, "an empty file", "the secret")
    return secret


def _load(path: Path, model: type[Model]) -> Model:
    fragments = [path, *sorted(path.with_suffix(".d").glob("*.toml"))]
    data: dict[str, Any] = {}
    for fragment in fragments:
        data = _merge(data, _read_toml(fragment))
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise _translate(error, path, model, data) from error


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(str(path), "file", error.strerror or str(error), "a readable TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(str(path), "syntax", str(error), "valid TOML in UTF-8") from error


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _translate(error: ValidationError, path: Path, model: type[BaseModel], data: Mapping[str, Any]) -> SettingsError:
    """Every fault that pydantic found: the first is the error, the others follow in its ``more``."""
    faults = [_describe(fault, path, model, data) for fault in error.errors(include_url=False)]
    first, *more = faults
    first.more = tuple(more)
    return first


def _describe(fault: Any, path: Path, model: type[BaseModel], data: Mapping[str, Any]) -> SettingsError:
    place = [part for part in fault["loc"] if _is_in_file(part, fault["loc"], data)]
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".") or "file"
    if fault["type"] == "missing":
        return SettingsError(str(path), key, "nothing", "a value: it is required")
    if fault["type"] == "extra_forbidden":
        return SettingsError(str(path), key, "an unknown key", _suggest(str(place[-1]), model, place[:-1]))
    expected = fault["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    return SettingsError(str(path), key, repr(_shorten(fault["input"])), expected)


def _shorten(value: object) -> object:
    return "a table" if isinstance(value, dict) else value


def _is_in_file(part: object, place: Sequence[object], data: object) -> bool:
    """pydantic puts the chosen member of a union into its places; a reader of the file knows nothing of that."""
    for step in place:
        if (isinstance(data, dict) and step in data) or (isinstance(data, list) and isinstance(step, int) and step < len(data)):
            data = data[step]
        elif step is part:
            return step is place[-1] and not _names_member(step, data)
    return True


def _names_member(step: object, data: object) -> bool:
    return isinstance(data, dict) and data.get("kind") == step


def _suggest(wrong: str, model: type[BaseModel], place: Sequence[object]) -> str:
    known = _keys_at(model, place)
    close = difflib.get_close_matches(wrong, known, n=1)
    listed = f"one of {', '.join(sorted(known))}" if known else "a known key"
    return f"{close[0]!r} perhaps; {listed}" if close else listed


def _keys_at(model: type[BaseModel], place: Sequence[object]) -> list[str]:
    """The keys that a table at that place may have."""
    models: list[type[BaseModel]] = [model]
    for step in place:
        fields = [m.model_fields[step] for m in models if isinstance(step, str) and step in m.model_fields]
        models = [found for field in fields for found in _models_in(field.annotation)] or models
    return sorted({name for found in models for name in found.model_fields})


def _models_in(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if typing.get_origin(annotation) is None and not isinstance(annotation, types.UnionType):
        return []
    return [model for argument in typing.get_args(annotation) for model in _models_in(argument)]
