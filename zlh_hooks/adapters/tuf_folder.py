"""Where the agents' repository lies: drafts that wait for signatures, and what the web server carries.

``draft/ROLE.json`` and ``draft/files/PATH`` are to be published; ``PUBLIC/metadata`` and ``PUBLIC/targets`` are. A
draft counts as long as its version is above the published one, so that a publisher that died begins where it stopped.
``series/ROLLOUT`` holds what a rollout may show, each act with its document and its state.
"""

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, TargetFile, Targets

from zlh_hooks.adapters.clock import SystemClock
from zlh_hooks.adapters.file import held_folder, make_folders, replace_files
from zlh_hooks.adapters.tuf_document import parse, render
from zlh_hooks.domain.agent_trust import SIGNED_BY_PEOPLE, TrustRole
from zlh_hooks.domain.errors import NotAllowed, SettingsError

FOLDER = 0o755
"""All of it is signed, and nothing is secret; a web server is another user."""
Write = tuple[str, bytes]
"""A path below the public folder, and what will be there."""


class TufFolder:
    """Reads and writes whole files; knows nothing of keys."""

    def __init__(self, folder: Path, public: Path) -> None:
        self._draft, self._series, self._public = folder / "draft", folder / "series", public

    @contextmanager
    def locked(self, patience: timedelta = timedelta(0)) -> Iterator[None]:
        """One change at a time; ``NotAllowed`` while another process is at it, for longer than ``patience``."""
        with _translated(self._draft):
            make_folders(self._draft, FOLDER)
        refusal = f"another process changes {self._draft}; try again when it is done"
        with held_folder(self._draft, patience, SystemClock(), refusal):
            yield

    def find(self, role: TrustRole) -> Metadata[Any] | None:
        """The document as it will be: the draft if there is one, else what is published."""
        return self.find_draft(role) or self.find_published(role)

    def load(self, role: TrustRole) -> Metadata[Any]:
        """Like ``find``; ``NotAllowed`` if there is no repository yet."""
        document = self.find(role)
        if document is None:
            raise NotAllowed("there is no repository yet: zlh-hooks agent keys found")
        return document

    def find_draft(self, role: TrustRole) -> Metadata[Any] | None:
        """A document that is not published yet."""
        draft, published = self._read(self._draft / f"{role}.json"), self.find_published(role)
        return draft if draft and (published is None or draft.signed.version > published.signed.version) else None

    def find_copied(self, folder: Path, role: TrustRole) -> Metadata[Any] | None:
        """The draft in a copy of this folder; None if it has none."""
        return self._read(folder / self._draft.name / f"{role}.json")

    def find_published(self, role: TrustRole) -> Metadata[Any] | None:
        """The document as readers see it now; reading goes their way, from the timestamp on."""
        if role is TrustRole.ROOT:
            return self._find_root()
        if role is TrustRole.TIMESTAMP:
            return self._read(self._metadata / "timestamp.json")
        above = TrustRole.TIMESTAMP if role is TrustRole.SNAPSHOT else TrustRole.SNAPSHOT
        listing = self.find_published(above)
        if listing is None:
            return None
        meta = listing.signed.snapshot_meta if role is TrustRole.SNAPSHOT else listing.signed.meta[f"{role}.json"]
        return self._read(self._metadata / f"{meta.version}.{role}.json")

    def need_published(self, role: TrustRole) -> Metadata[Any]:
        """Like ``find_published``; ``NotAllowed`` if nothing is published yet."""
        document = self.find_published(role)
        if document is None:
            raise NotAllowed("nothing is published yet: zlh-hooks agent publish")
        return document

    def _find_root(self) -> Metadata[Root] | None:
        versions = [int(path.name.partition(".")[0]) for path in self._metadata.glob("[0-9]*.root.json")]
        return self._read(self._metadata / f"{max(versions)}.root.json") if versions else None

    @property
    def _metadata(self) -> Path:
        return self._public / "metadata"

    def _read(self, path: Path) -> Metadata[Any] | None:
        try:
            with _translated(path):
                return parse(path.read_bytes()) if path.exists() else None
        except RepositoryError as error:
            raise SettingsError(str(path), "file", str(error), "a signed document as it was written") from error

    def write_draft(self, role: TrustRole, document: Metadata[Any]) -> None:
        """Keep a document until it is published."""
        self._write(self._draft / f"{role}.json", render(document))

    def write_act(self, rollout: str, act: str, document: Metadata[Targets], state: bytes | None = None) -> None:
        """Keep one act of a rollout; without ``state`` only its document is another one."""
        place = self._series / rollout
        if state is not None:
            self._write(place / f"{act}.state", state)
        self._write(place / f"{act}.json", render(document))

    def find_act(self, rollout: str, act: str) -> tuple[Metadata[Targets], bytes] | None:
        """An act's document and state; None if the rollout has none of that name."""
        place = self._series / rollout
        document = self._read(place / f"{act}.json")
        with _translated(place):
            return (document, (place / f"{act}.state").read_bytes()) if document else None

    def list_acts(self, rollout: str) -> tuple[str, ...]:
        """The names of a rollout's acts."""
        return tuple(sorted(path.stem for path in (self._series / rollout).glob("*.json")))

    def clear_acts(self, rollout: str) -> None:
        """Forget a rollout's acts, if there are any."""
        place = self._series / rollout
        with _translated(place):
            if place.is_dir():
                shutil.rmtree(place)

    def write_file(self, path: str, data: bytes) -> None:
        """Keep a target's bytes until they are published."""
        self._write(self._draft / "files" / path, data)

    def read_file(self, document: Metadata[Targets], path: str) -> bytes | None:
        """A target's bytes, as the document lists them; None if it lists none, or they are nowhere."""
        file = document.signed.targets.get(path)
        return self._find_bytes(file) if file else None

    def _find_bytes(self, file: TargetFile) -> bytes | None:
        places = (self._draft / "files" / file.path, self._public / public_path(file))
        found = (place.read_bytes() for place in places if place.is_file())
        return next((data for data in found if hashlib.sha256(data).hexdigest() == file.hashes["sha256"]), None)

    def list_new_files(self, documents: Sequence[Metadata[Targets]]) -> list[Write]:
        """Targets that are listed and not public yet; ``NotAllowed`` if one's bytes are nowhere."""
        files = [file for document in documents for file in document.signed.targets.values()]
        return [(public_path(file), self._need_bytes(file)) for file in files if not self._is_public(file)]

    def _is_public(self, file: TargetFile) -> bool:
        place = self._public / public_path(file)
        return place.is_file() and place.stat().st_size == file.length

    def _need_bytes(self, file: TargetFile) -> bytes:
        data = self._find_bytes(file)
        if data is None:
            raise NotAllowed(f"{file.path} is listed, and its bytes are nowhere: release it again")
        return data

    def write_public(self, path: str, data: bytes) -> None:
        """Show one file to readers: all of it, or what was there before."""
        self._write(self._public / path, data)

    def drop_drafts(self, roles: Sequence[TrustRole]) -> None:
        """Forget what was never published."""
        for role in roles:
            (self._draft / f"{role}.json").unlink(missing_ok=True)
        self.clear_drafts()

    def clear_drafts(self) -> None:
        """Forget what is published now. What a crash leaves of it does not count any more."""
        for role in SIGNED_BY_PEOPLE:
            if self.find_draft(role) is None:
                (self._draft / f"{role}.json").unlink(missing_ok=True)
        if not any(self.find_draft(role) for role in SIGNED_BY_PEOPLE):
            for path in (self._draft / "files").rglob("*.*"):
                path.unlink()

    def _write(self, path: Path, data: bytes) -> None:
        with _translated(path):
            make_folders(path.parent, FOLDER)
            replace_files({path: data})


def public_path(file: TargetFile) -> str:
    """Where a target's bytes lie: its name carries their hash, so that old and new ones are there together."""
    folder, _, name = file.path.rpartition("/")
    return f"targets/{folder}/{file.hashes['sha256']}.{name}"


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SettingsError(str(path), "file", error.strerror or str(error), "a place that can be written") from error
