"""After a promotion: write a file, or call a URL. Both say the same JSON document, and both may say it twice.

``{"line": "game-base", "version": "2026.11.1", "templates": {"pve1": 9001}, "at": "2026-11-23T04:00:00+00:00"}``;
``version`` is null and ``templates`` empty when the line has no stable version any more.
"""

import json
import os
import stat
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from zlh_hooks.adapters.file import replace_files
from zlh_hooks.application.ports import PromotionHook
from zlh_hooks.domain.errors import RoadError, SettingsError
from zlh_hooks.domain.line import Promotion
from zlh_hooks.domain.policy import FileHook, Hook, UrlHook

ATTEMPTS = 3
_OTHERS = 0o007


def open_hooks(hooks: Iterable[Hook]) -> tuple[PromotionHook, ...]:
    """A line's hooks, in the policy's order. Nothing is written or read yet."""
    return tuple(PromotionFile(Path(one.path)) if isinstance(one, FileHook) else _open_call(one) for one in hooks)


def _open_call(hook: UrlHook) -> "PromotionCall":
    return PromotionCall(hook.url, Path(hook.token_file) if hook.token_file else None, hook.timeout)


def render_promotion(promotion: Promotion) -> dict[str, Any]:
    """The document as JSON values."""
    return {
        "line": promotion.line,
        "version": promotion.version,
        "templates": dict(promotion.templates),
        "at": promotion.at.isoformat(),
    }


@dataclass(frozen=True, slots=True)
class PromotionFile:
    """Replaces a file, readable by all, at once: a reader sees the old document or the new one, also after a crash."""

    path: Path

    @property
    def name(self) -> str:
        """The file."""
        return f"file {self.path}"

    def send_promotion(self, promotion: Promotion) -> None:
        """Write; ``RoadError`` if the file or its folder cannot be written."""
        try:
            replace_files({self.path: f"{json.dumps(render_promotion(promotion))}\n".encode()})
        except OSError as error:
            raise RoadError(f"cannot write {self.path}: {error.strerror or error}") from error


@dataclass(frozen=True, slots=True)
class PromotionCall:
    """POSTs to a URL. What may pass by itself is tried again: no connection, a time-out, 429 and 5xx."""

    url: str
    token_file: Path | None = None
    timeout: timedelta = timedelta(seconds=5)
    sleep: Callable[[float], None] = time.sleep

    @property
    def name(self) -> str:
        """The URL without what may be secret in it."""
        parts = urlsplit(self.url)
        return f"url {parts.netloc.rpartition('@')[2]}{parts.path}"

    def send_promotion(self, promotion: Promotion) -> None:
        """Call until it is answered with 2xx; ``RoadError`` for any other end, redirects included."""
        bearer = _Bearer(read_token(self.token_file)) if self.token_file else None
        attempts = Retrying(
            retry=retry_if_exception_type(_Passing),
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_exponential(multiplier=0.5, max=5),
            sleep=self.sleep,
            reraise=True,
        )
        attempts(self._post, render_promotion(promotion), bearer)

    def _post(self, document: dict[str, Any], bearer: "_Bearer | None") -> None:
        seconds = self.timeout.total_seconds()
        try:
            with requests.post(
                self.url, json=document, auth=bearer, timeout=seconds, allow_redirects=False, stream=True
            ) as answer:
                status = answer.status_code
        except (requests.ConnectionError, requests.Timeout) as error:
            raise _Passing(f"{self.name}: no answer ({type(error).__name__})") from error
        except requests.RequestException as error:
            raise RoadError(f"{self.name}: cannot be called ({type(error).__name__})") from error
        if status == requests.codes.too_many_requests or status >= requests.codes.server_error:
            raise _Passing(f"{self.name}: answered {status}")
        if not 200 <= status < 300:
            raise RoadError(f"{self.name}: answered {status}; expected 2xx (redirects are not followed)")


class _Passing(RoadError):
    """May pass by itself."""


@dataclass(frozen=True, slots=True)
class _Bearer(AuthBase):
    """As ``auth`` and not as a header, which an entry in ~/.netrc would replace."""

    token: str = field(repr=False)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self.token}"
        return request


def read_token(path: Path) -> str:
    """The one line of a token file; ``SettingsError`` if everybody may read it or it holds no token."""
    try:
        with path.open(encoding="ascii") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            token = file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(str(path), "token_file", type(error).__name__, "a readable file with a token") from error
    if mode & _OTHERS:
        raise SettingsError(str(path), "token_file", f"mode {mode:04o}", "mode 0640 or stricter")
    if not token or not token.isprintable() or " " in token:
        raise SettingsError(str(path), "token_file", "no token or several words", "one token without blanks")
    return token
