"""The signed documents of the agents' repository as python-tuf makes and reads them.

Kept to what tuf 5.1 and 7 both know. A document is a ``tuf.api.metadata.Metadata``; changing one takes its signatures
away. Each delegated role has exactly one delegator: up to tuf 7.0.0 a client uses a role that it has loaded for
whoever else delegates to it.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from securesystemslib.signer import Key
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from zlh_hooks.adapters.tuf_key import holder_of
from zlh_hooks.domain.agent_trust import PURPOSE_OF, Purpose, RoleRules, TrustRole
from zlh_hooks.domain.errors import NotAllowed

PATHS: Mapping[TrustRole, str] = {TrustRole.RELEASES: "releases/*", TrustRole.DESIRED: "desired/*"}
"""Which targets a delegated role may speak of."""
RELEASE = "x-zlh-release"
"""The field of a target that says which version it is, for which machine, and what it can follow."""
SIGNED_AT = "x-zlh-signed"
"""The field of the timestamp that says when it was made: an agent's clock is never before it."""
ONLINE = (TrustRole.SNAPSHOT, TrustRole.TIMESTAMP)
PublicKeys = Mapping[Purpose, Key]


def new_root(people: Iterable[PublicKeys], sealed: Key, online: Key, rules: RoleRules, now: datetime) -> Metadata[Root]:
    """The first root: people's and the sealed key for root and targets, the online key for the rest."""
    root = Root(version=1, expires=end_of(TrustRole.ROOT, rules, now), consistent_snapshot=True)
    for key in [*(keys[Purpose.ROOT] for keys in people), sealed]:
        _add_root_key(root, key)
    for role in ONLINE:
        root.add_key(online, role)
    set_thresholds(root, rules)
    return Metadata(root)


def _add_root_key(root: Root, key: Key) -> None:
    for role in (TrustRole.ROOT, TrustRole.TARGETS):
        root.add_key(key, role)


def set_thresholds(root: Root, rules: RoleRules) -> None:
    """As the policy says; ``NotAllowed`` if there are fewer keys than a role needs."""
    for name, role in root.roles.items():
        role.threshold = rules[TrustRole(name)].threshold
        check_threshold(TrustRole(name), len(role.keyids), role.threshold)


def check_threshold(role: TrustRole, keys: int, threshold: int) -> None:
    """A document that could never be signed must not come into being."""
    if keys < threshold:
        raise NotAllowed(f"{role} needs {threshold} signatures and would have {keys} keys: add a person first")


def new_targets(people: Iterable[PublicKeys], rules: RoleRules, now: datetime) -> Metadata[Targets]:
    """The first targets: no file of its own, two delegations."""
    people = tuple(people)
    keys: dict[str, Key] = {}
    roles: dict[str, DelegatedRole] = {}
    for role, path in PATHS.items():
        own = {keys_of[PURPOSE_OF[role]].keyid: keys_of[PURPOSE_OF[role]] for keys_of in people}
        check_threshold(role, len(own), rules[role].threshold)
        roles[role] = DelegatedRole(role.value, list(own), rules[role].threshold, True, paths=[path])
        keys |= own
    targets = Targets(version=1, expires=end_of(TrustRole.TARGETS, rules, now))
    targets.delegations = Delegations(keys, dict(roles))
    return Metadata(targets)


def new_files(role: TrustRole, rules: RoleRules, now: datetime) -> Metadata[Targets]:
    """A delegated role that lists no file yet."""
    return Metadata(Targets(version=1, expires=end_of(role, rules, now)))


def end_of(role: TrustRole, rules: RoleRules, now: datetime) -> datetime:
    """When a document that is made now ends; whole seconds, as TUF has it."""
    return (now.astimezone(UTC) + rules[role].life).replace(microsecond=0)


def revise(document: Metadata[Any], version: int, expires: datetime) -> Metadata[Any]:
    """The next version of a document, unsigned; the old one stays as it is."""
    revised = parse(document.to_bytes())
    revised.signatures.clear()
    revised.signed.version, revised.signed.expires = version, expires
    return revised


def parse(data: bytes) -> Metadata[Any]:
    """The document of such bytes."""
    return Metadata.from_bytes(data)


def render(document: Metadata[Any]) -> bytes:
    """The document's bytes, short."""
    return document.to_bytes()


# --- people


def add_person(root: Root, targets: Targets, keys: PublicKeys) -> None:
    """A person's keys into every role that people sign."""
    _add_root_key(root, keys[Purpose.ROOT])
    for role in PATHS:
        targets.add_key(keys[PURPOSE_OF[role]], role.value)


def remove_holder(root: Root, targets: Targets, holder: str) -> None:
    """All keys of a person, or the sealed one, out of every role; ``NotAllowed`` if the holder has none."""
    root_keys = [key.keyid for key in root.keys.values() if holder_of(key) == holder]
    other_keys = [key.keyid for key in list_delegated_keys(targets).values() if holder_of(key) == holder]
    if not root_keys and not other_keys:
        known = ", ".join(sorted({holder_of(key) for key in root.keys.values()}))
        raise NotAllowed(f"{holder} has no key in this repository; {known} have")
    for keyid in root_keys:
        for name in [name for name, role in root.roles.items() if keyid in role.keyids]:
            root.revoke_key(keyid, name)
    for role in PATHS:
        for keyid in [keyid for keyid in other_keys if keyid in _delegated(targets, role).keyids]:
            targets.revoke_key(keyid, role.value)


def replace_online(root: Root, key: Key) -> None:
    """Another key for what machines sign."""
    for role in ONLINE:
        for keyid in list(root.roles[role].keyids):
            root.revoke_key(keyid, role)
        root.add_key(key, role)


def set_delegated_thresholds(targets: Targets, rules: RoleRules) -> None:
    """As the policy says; ``NotAllowed`` if there are fewer keys than a role needs."""
    for role in PATHS:
        delegated = _delegated(targets, role)
        delegated.threshold = rules[role].threshold
        check_threshold(role, len(delegated.keyids), delegated.threshold)


def _delegated(targets: Targets, role: TrustRole) -> DelegatedRole:
    roles = targets.delegations.roles if targets.delegations else None
    if roles is None or role.value not in roles:
        raise NotAllowed(f"targets does not delegate to {role}: this is another program's repository")
    return roles[role.value]


def list_delegated_keys(targets: Targets) -> Mapping[str, Key]:
    """The keys of the delegated roles, by their ids."""
    return targets.delegations.keys if targets.delegations else {}


def find_foreign_delegation(role: TrustRole, document: Metadata[Any]) -> str | None:
    """What is wrong, unless each delegated role has exactly one delegator, and that is targets."""
    delegations = getattr(document.signed, "delegations", None)
    names = [*delegations.roles] if delegations and delegations.roles else []
    if role is TrustRole.TARGETS and sorted(names) != sorted(PATHS):
        return f"targets delegates to {', '.join(names)}, and must to {' and '.join(PATHS)} alone"
    if role is not TrustRole.TARGETS and delegations is not None:
        return f"{role} delegates too; a delegated role has one delegator, and that is targets"
    return None


def read_thresholds(root: Root, targets: Targets) -> Mapping[TrustRole, tuple[int, int]]:
    """How many signatures each role needs for readers, and how many keys count for it."""
    of_root = {TrustRole(name): role for name, role in root.roles.items()}
    delegated = {role: _delegated(targets, role) for role in PATHS}
    return {name: (role.threshold, len(role.keyids)) for name, role in {**of_root, **delegated}.items()}


# --- files


def put_file(document: Metadata[Targets], path: str, data: bytes, fields: Mapping[str, Any]) -> TargetFile:
    """List a file, in place of what had its name; returns its entry."""
    file = TargetFile.from_data(path, data, ["sha256"])
    if fields:
        file.unrecognized_fields["custom"] = {RELEASE: dict(fields)}
    document.signed.targets[path] = file
    return file


def make_snapshot(
    documents: Mapping[TrustRole, Metadata[Any]], version: int, rules: RoleRules, now: datetime
) -> Metadata[Snapshot]:
    """The versions that belong together."""
    meta = {f"{role}.json": MetaFile(document.signed.version) for role, document in documents.items()}
    return Metadata(Snapshot(version=version, expires=end_of(TrustRole.SNAPSHOT, rules, now), meta=meta))


def make_timestamp(snapshot: int, version: int, rules: RoleRules, now: datetime) -> Metadata[Timestamp]:
    """Which snapshot is the newest, and when this was said."""
    said = {SIGNED_AT: f"{now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"}
    expires = end_of(TrustRole.TIMESTAMP, rules, now)
    meta = MetaFile(snapshot)
    return Metadata(Timestamp(version=version, expires=expires, snapshot_meta=meta, unrecognized_fields=said))


# --- signatures


def count_signatures(
    role: TrustRole, document: Metadata[Any], verifiers: Iterable[Root | Targets]
) -> tuple[set[str], set[str], int]:
    """Key ids that have signed, that may, and how many signatures are missing at the worst."""
    signed: set[str] = set()
    unsigned: set[str] = set()
    missing = 0
    for verifier in verifiers:
        result = verifier.get_verification_result(role.value, document.signed_bytes, document.signatures)
        signed |= result.signed.keys()
        unsigned |= result.unsigned.keys()
        missing = max(missing, result.threshold - len(result.signed))
    return signed, unsigned - signed, missing
