"""A stand-in served in a thread of its own, and the token with which a test may use it."""

import asyncio
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from fakepve.certs import make_cert

from tests.stand_in.pve import StandInPve

_T = TypeVar("_T")
_SECONDS = 30.0
USER = "zlh@pve"
TOKEN_NAME = "hooks"
TOKEN_ID = f"{USER}!{TOKEN_NAME}"


@dataclass(frozen=True, slots=True)
class Serving:
    """A running stand-in. ``token`` belongs to ``zlh@pve!hooks``; ``call`` runs a function on the server's thread."""

    pve: StandInPve
    ca_file: Path
    token: str
    loop: asyncio.AbstractEventLoop

    def call(self, change: Callable[[], _T]) -> _T:
        """For changes that must not fall in the middle of a request."""

        async def run() -> _T:
            return change()

        return self.wait(run())

    def wait(self, coroutine: Any) -> Any:
        """Run a coroutine of the stand-in there, e.g. ``pve.backup(5001, secs=3)``."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(_SECONDS)


def give_token(pve: StandInPve, privileges: Iterable[str]) -> str:
    """Create the privsep token with these privileges on ``/``, for its user and for itself; returns its secret."""
    secret = secrets.token_hex(18)
    pve.apitokens[TOKEN_ID] = secret
    for principal in (USER, TOKEN_ID):
        pve.grant(principal, "/", *privileges)
    return secret


@contextmanager
def served(pve: StandInPve, directory: Path, privileges: Iterable[str]) -> Iterator[Serving]:
    """Serve it on loopback until the block ends; its certificate lies in ``directory``."""
    certificate, key, _ = make_cert(str(directory), hosts=(pve.host,))
    token = give_token(pve, privileges)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="stand-in", daemon=True)
    thread.start()
    serving = Serving(pve, Path(certificate), token, loop)
    try:
        serving.wait(pve.start(certificate, key))
        yield serving
        serving.wait(pve.stop())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_SECONDS)
        loop.close()
