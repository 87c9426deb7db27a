"""Whose certificates we believe."""

import ssl
from pathlib import Path

from zlh_hooks.domain.errors import SettingsError


def open_trust(ca_file: Path | None, key: str) -> ssl.SSLContext:
    """Names are verified against the file's authorities alone, or the system's; ``SettingsError`` if it holds none."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        found = error.strerror if isinstance(error, FileNotFoundError | PermissionError) else "no certificate"
        raise SettingsError(str(ca_file), key, str(found), "a readable file with a CA certificate") from error
