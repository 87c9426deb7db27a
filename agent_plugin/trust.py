"""What this guest may install, by documents that were signed: python-tuf's client, and what it lacks.

The client verifies signatures, thresholds, versions and ends. Added here: marks that outlive the cache, a deadline and
a least rate, files that are whole after a power failure, a clock that is not believed blindly, one question only while
nothing is new, and that release keys and operators must speak of the same bytes. The first root is always the embedded
one: a damaged cache then costs some requests and nothing else.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from tuf.api import exceptions
from tuf.api.metadata import Metadata, TargetFile
from tuf.api.serialization import DeserializationError
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig

from agent_plugin import agreement
from agent_plugin.desired import PATH, Desired, Guest, Nothing, Ruling, WishDecision, decide, decide_wish
from agent_plugin.desired_wire import MalformedState, NewerFormat, parse_state
from agent_plugin.disk import rename, sync_tree, write_file
from agent_plugin.mark import Marks, read_marks, write_marks
from agent_plugin.refusal import Refusal, Refused
from agent_plugin.road import Limits, NoRange, NotThere, Road
from agent_plugin.source import part_of
from agent_plugin.wanted import Wanted

METADATA, TARGETS = "metadata", "targets"
SIGNED_AT = "x-zlh-signed"
_ROLES = ("root", "timestamp", "snapshot", "targets", "releases", "desired")
_CLOCK_TOLERANCE = timedelta(minutes=5)
_LONGEST_SERVICE = timedelta(days=20 * 365)
_NEGLECT = timedelta(days=365)
"""After so long without a signature the clock is more likely wrong than the publishers."""
_MOST_STATE = 4_000_000


@dataclass(frozen=True)
class Origin:
    """Where releases come from: the server's URL, the embedded root's bytes, and when this plugin was built (aware)."""

    url: str
    root: bytes
    built: datetime
    ca_file: Path | None = None


class Trust:
    """One guest's view of one repository. ``folder`` holds the cache, the marks and the lock."""

    def __init__(self, folder: Path, origin: Origin, limits: Limits | None = None) -> None:
        self._folder, self._origin, self._limits = folder, origin, limits or Limits()
        self._cache, self._marks = folder / "cache", folder / "high-water.json"
        self.road = Road(origin.url, self._limits, origin.ca_file)
        self._verified: Desired | None = None

    def check(self, guest: Guest, now: datetime) -> Wanted | Nothing:
        """Ask the server what the guest should install now; ``Refused`` says why nothing it says is believed."""
        self._verified = None
        with self._locked():
            marks = read_marks(self._marks)
            refuse_clock(now, self._origin.built, marks.signed)
            deadline = self.road.deadline(self._limits.check_seconds)
            fetcher = _Fetcher(self.road, self._read_timestamp(), deadline)
            try:
                return self._check(fetcher, marks, guest, now)
            except Refused:
                if not fetcher.unchanged:
                    raise
            return self._check(_Fetcher(self.road, None, deadline), marks, guest, now)

    def _check(self, fetcher: "_Fetcher", marks: Marks, guest: Guest, now: datetime) -> Wanted | Nothing:
        with _translated(fetcher, now, max(self._origin.built, marks.signed or self._origin.built)):
            updater = self._open_updater(fetcher)
            updater.refresh()
            state = self._read_state(updater, fetcher)
            decision = decide(state, guest, now) if state else None
            wants = decision is not None and decision.ruling is Ruling.INSTALL
            release = updater.get_targetinfo(agreement.path_of(decision, guest)) if decision and wants else None
            roles = [role for role in _ROLES if role != "releases" or wants]
            self._raise_marks({role: self._read_role(role) for role in roles}, marks, now)
        if not fetcher.unchanged:
            self._keep_cache()
        self._verified = state
        if decision is None:
            return Nothing(Ruling.UNPINNED, "nothing was ever pinned in this repository")
        if not wants:
            return Nothing(decision.ruling, decision.rule, decision.opens, decision.pin.number if decision.pin else 0)
        return agreement.agree(decision, guest, _read_released(release) if release else None)

    def decide_wish(self, guest: Guest, now: datetime) -> WishDecision | None:
        """What the state that the last check verified wishes for its packages; None without one."""
        return decide_wish(self._verified, guest.vmid, guest.line, now) if self._verified else None

    def _open_updater(self, fetcher: "_Fetcher") -> Updater:
        self._cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        url, config = f"{METADATA}/", UpdaterConfig()
        return Updater(str(self._cache), url, fetcher=fetcher, config=config, bootstrap=self._origin.root)

    def _read_timestamp(self) -> bytes | None:
        try:
            return (self._cache / "timestamp.json").read_bytes()
        except OSError:
            return None

    def _read_state(self, updater: Updater, fetcher: "_Fetcher") -> Desired | None:
        """The desired state, from the cache while it is the signed one."""
        file = updater.get_targetinfo(PATH)
        if file is None:
            return None
        kept = self._cache / "state.json"
        if updater.find_cached_target(file, str(kept)) is None:
            data = fetcher.read_target(file, _MOST_STATE)
            file.verify_length_and_hashes(data)
            write_file(kept, data)
        return parse_state(kept.read_bytes())

    def _read_role(self, role: str) -> Metadata[Any]:
        """A document as the client has just verified and kept it."""
        return Metadata.from_bytes((self._cache / f"{role}.json").read_bytes())

    def _raise_marks(self, documents: dict[str, Metadata[Any]], marks: Marks, now: datetime) -> None:
        """By ``now`` too nothing has ended, and nothing is older than what was seen before."""
        for role, document in documents.items():
            if document.signed.is_expired(now):
                raise exceptions.ExpiredMetadataError(f"{role} ended {document.signed.expires:%Y-%m-%d %H:%M} UTC")
        said = documents["timestamp"].signed.unrecognized_fields.get(SIGNED_AT)
        online = documents["root"].signed.roles["timestamp"].keyids
        versions = {role: document.signed.version for role, document in documents.items()}
        raised = marks.raised(Marks(versions, _parse_time(said), frozenset(online)))
        if raised != marks:
            write_marks(self._marks, raised)

    def _keep_cache(self) -> None:
        try:
            sync_tree(self._cache)
        except OSError as error:
            raise Refused(Refusal.DISK, "cache", str(error)) from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One check at a time: the cache belongs to one client."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Refused(Refusal.DISK, "lock", str(error)) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError as error:
            raise Refused(Refusal.LOCKED, "lock", "another check is at work") from error
        finally:
            os.close(handle)

    def download(self, wanted: Wanted, to: Path) -> None:
        """Bring the release's file; whole and right when this returns. What was brought before is not asked again."""
        part, path = part_of(to), self._find_path(wanted)
        folder, _, name = path.rpartition("/")
        url = f"{TARGETS}/{folder}/{wanted.sha256}.{name}"
        try:
            try:
                self._receive(url, wanted, part)
            except NoRange:
                part.unlink()
                self._receive(url, wanted, part)
            rename(part, to)
        except NotThere as error:
            raise Refused(Refusal.MISSING, path, "the server has no such file") from error
        except OSError as error:
            raise Refused(Refusal.DISK, to.name, str(error)) from error

    def _find_path(self, wanted: Wanted) -> str:
        """The file's name among the releases that the last check verified."""
        try:
            listed = self._read_role("releases").signed.targets.values()
        except (OSError, exceptions.RepositoryError) as error:
            raise Refused(Refusal.DISK, "cache", f"no list of releases: check again ({error})") from error
        path = next((str(file.path) for file in listed if file.hashes.get("sha256") == wanted.sha256), None)
        if path is None:
            raise Refused(Refusal.NOT_RELEASED, wanted.version, "the list of releases has no such bytes: check again")
        return path

    def _receive(self, url: str, wanted: Wanted, part: Path) -> None:
        """Into ``part``, on disk and verified; what is wrong is removed, so that the next attempt begins anew."""
        deadline = self.road.deadline(self._limits.download_seconds)
        digest = hashlib.sha256()
        with part.open("a+b") as file:
            file.seek(0)
            while chunk := file.read(1 << 20):
                digest.update(chunk)
            size = file.tell()
            if size < wanted.size:
                for chunk in self.road.stream(url, deadline, size):
                    size += len(chunk)
                    if size > wanted.size:
                        break
                    file.write(chunk)
                    digest.update(chunk)
            file.flush()
            os.fsync(file.fileno())
        if size != wanted.size or digest.hexdigest() != wanted.sha256:
            part.unlink()
            cause = Refusal.TOO_LONG if size > wanted.size else Refusal.ALTERED
            raise Refused(cause, wanted.version, f"{size} bytes; signed were {wanted.size} and other content")


class _Fetcher(FetcherInterface):
    """python-tuf's way to the server. While the timestamp is the one in the cache, that is the only question: whoever
    publishes a new root publishes a new timestamp too.
    """

    def __init__(self, road: Road, known: bytes | None, deadline: float) -> None:
        self._road, self._known, self._deadline = road, known, deadline
        self.unchanged, self._answer = False, b""
        self.last = "bootstrap"

    def _fetch(self, url: str) -> Iterator[bytes]:
        name = url.rpartition("/")[2]
        if name.endswith(".root.json") and self._known is not None and not self.unchanged:
            self._answer = self._read("timestamp.json")
            self.unchanged, self._known = self._answer == self._known, None
        self.last = name
        if self.unchanged and name.endswith(".root.json"):
            raise exceptions.DownloadHTTPError("nothing is new", 404)
        if self.unchanged and name == "timestamp.json":
            yield self._answer
        else:
            yield from self._stream(f"{METADATA}/{name}")

    def _read(self, name: str) -> bytes:
        self.last = name
        most = UpdaterConfig().timestamp_max_length
        try:
            return self._road.read(f"{METADATA}/{name}", most, self._deadline)
        except NotThere as error:
            raise exceptions.DownloadHTTPError(str(error), 404) from error

    def _stream(self, path: str) -> Iterator[bytes]:
        try:
            yield from self._road.stream(path, self._deadline)
        except NotThere as error:
            raise exceptions.DownloadHTTPError(str(error), 404) from error

    def read_target(self, file: TargetFile, most: int) -> bytes:
        """A small target, by the name that carries its hash."""
        self.last = file.path
        folder, _, name = file.path.rpartition("/")
        try:
            path = f"{TARGETS}/{folder}/{file.hashes['sha256']}.{name}"
            return self._road.read(path, min(most, file.length), self._deadline)
        except NotThere as error:
            raise exceptions.DownloadHTTPError(str(error), 404) from error


def refuse_clock(now: datetime, built: datetime, signed: datetime | None) -> None:
    """``Refused`` if the clock shows a time that cannot be now."""
    floor = max(built, signed - _CLOCK_TOLERANCE) if signed else built
    if now < floor:
        detail = f"it shows {now:%Y-%m-%d %H:%M}; it is later than {floor:%Y-%m-%d %H:%M} UTC"
        raise Refused(Refusal.CLOCK_BEHIND, "clock", detail)
    if now > built + _LONGEST_SERVICE:
        raise Refused(Refusal.CLOCK_AHEAD, "clock", f"it shows {now:%Y-%m-%d}; this plugin was built {built:%Y-%m-%d}")


def _name_expiry(error: Exception, where: str, now: datetime, seen: datetime) -> Refused:
    """``seen`` is when the newest timestamp that this guest knows was signed, or when the plugin was built."""
    named = next((role for role in _ROLES if role in str(error).replace(".json", "").split()), where)
    detail = f"{error}; the clock shows {now:%Y-%m-%d %H:%M}"
    if now - seen > _NEGLECT:
        return Refused(Refusal.CLOCK_AHEAD, "clock", f"{detail}, and the newest signature is of {seen:%Y-%m-%d}")
    return Refused(Refusal.EXPIRED, named, detail)


def _read_released(file: TargetFile) -> agreement.Released:
    said = (file.custom or {}).get(agreement.RELEASE) or {}
    ways = str(said.get("come_from", "")), str(said.get("back_to", ""))
    return agreement.Released(str(file.hashes.get("sha256")), file.length, *ways)


def _parse_time(text: object) -> datetime | None:
    try:
        return datetime.strptime(str(text), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    except ValueError:
        return None


@contextmanager
def _translated(fetcher: _Fetcher, now: datetime, seen: datetime) -> Iterator[None]:
    """The client's errors by our names; the document is the one that was asked for last."""
    try:
        yield
    except exceptions.DownloadHTTPError as error:
        raise Refused(Refusal.MISSING, _role_of(fetcher.last), "the server has no such file") from error
    except NewerFormat as error:
        raise Refused(Refusal.NEWER_FORMAT, PATH, str(error)) from error
    except MalformedState as error:
        raise Refused(Refusal.MALFORMED, PATH, str(error)) from error
    except exceptions.ExpiredMetadataError as error:
        raise _name_expiry(error, _role_of(fetcher.last), now, seen) from error
    except (exceptions.RepositoryError, exceptions.DownloadError) as error:
        raise _name_error(error, fetcher) from error
    except OSError as error:
        raise Refused(Refusal.DISK, "cache", str(error)) from error


def _name_error(error: Exception, fetcher: _Fetcher) -> Refused:
    where = _role_of(fetcher.last)
    older = Refusal.ROLLED_BACK if where in ("timestamp", "snapshot") else Refusal.MIXED
    names: tuple[tuple[type[Exception], Refusal], ...] = (
        (DeserializationError, Refusal.MALFORMED),
        (exceptions.UnsignedMetadataError, Refusal.SIGNATURES),
        (exceptions.LengthOrHashMismatchError, Refusal.ALTERED),
        (exceptions.DownloadLengthMismatchError, Refusal.TOO_LONG),
        (exceptions.BadVersionNumberError, older),
        (exceptions.RepositoryError, Refusal.MIXED),
    )
    cause = next((cause for kind, cause in names if isinstance(error, kind)), Refusal.BROKEN_OFF)
    return Refused(cause, where, str(error))


def _role_of(name: str) -> str:
    """``3.releases.json`` is the role ``releases``; a target is called by its path."""
    return name if "/" in name else name.removesuffix(".json").rpartition(".")[2]
