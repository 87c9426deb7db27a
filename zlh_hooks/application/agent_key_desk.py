"""Where people say whose keys count for agents."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from zlh_hooks.application.agent_ports import AgentKeys, KeyMaker
from zlh_hooks.application.ports import Clock, Ledger
from zlh_hooks.domain.agent_trust import PERSON, SIGNED_BY_PEOPLE, Purpose, TrustRole
from zlh_hooks.domain.entry import Draft, Kind
from zlh_hooks.domain.errors import NotAllowed


@dataclass(frozen=True, slots=True)
class AgentKeyDesk:
    """Takes orders about keys; each is recorded with its author.

    ``machine`` makes keys that open while nobody is there.
    """

    keys: AgentKeys
    maker: KeyMaker
    machine: KeyMaker
    open_ledger: Callable[[], Ledger]
    clock: Clock
    author: str

    def make(self, holder: str, purposes: Sequence[Purpose] = PERSON) -> None:
        """New key files for a holder, who types the password; the machine's comes from its file, where there is one."""
        maker = self.machine if tuple(purposes) == (Purpose.ONLINE,) else self.maker
        maker.make(holder, purposes)
        self._record("keys new", holder=holder, purposes=[*purposes])

    def found(self, people: Sequence[str], sealed: str, online: str) -> tuple[str, ...]:
        """Make the keys that are not here yet, draft the first documents, sign them; who has signed.

        One person, the sealed key's holder and the machine can be at one place; who is not, signs later elsewhere.
        """
        holders = {**dict.fromkeys(people, PERSON), sealed: (Purpose.ROOT,), online: (Purpose.ONLINE,)}
        if len(holders) != len(people) + 2 or not people:
            raise NotAllowed("each person, the sealed key and the machine need names of their own, each once")
        here = self.maker.list_holders()
        for holder, purposes in holders.items():
            if holder not in here:
                self.make(holder, purposes)
        self.keys.found(people, sealed, online, self.clock.now())
        self._record("keys found", people=[*people], sealed=sealed, online=online)
        return tuple(person for person in people if self.maker.has(person, Purpose.ROOT) and self.sign(person))

    def add_person(self, person: str) -> None:
        """Let a person's keys count, once it is signed and published."""
        self.keys.add_person(person, self.clock.now())
        self._record("keys add-person", holder=person)

    def remove_person(self, person: str) -> None:
        """Let them count no more."""
        self.keys.remove_holder(person, self.clock.now())
        self._record("keys remove-person", holder=person)

    def replace_online(self, holder: str) -> None:
        """Let the machine that publishes sign with another key."""
        self.keys.replace_online(holder, self.clock.now())
        self._record("keys replace-online", holder=holder)

    def renew(self, roles: Sequence[TrustRole]) -> None:
        """Draft the same documents with a new end; all that people sign if none is named."""
        by_machines = [role for role in roles if role not in SIGNED_BY_PEOPLE]
        if by_machines:
            raise NotAllowed(f"{by_machines[0]} is renewed by zlh-hooks agent publish")
        self.keys.renew(roles or SIGNED_BY_PEOPLE, self.clock.now())
        self._record("keys renew", roles=[*(roles or SIGNED_BY_PEOPLE)])

    def sign(self, holder: str, roles: Sequence[TrustRole] = SIGNED_BY_PEOPLE) -> tuple[TrustRole, ...]:
        """Sign those of these documents that wait for the holder; which ones that were."""
        signed = self.keys.sign(holder, roles)
        if signed:
            self._record("keys sign", holder=holder, roles=[*signed])
        return signed

    def take_signatures(self, folder: Path) -> tuple[TrustRole, ...]:
        """Those that were given elsewhere, on a copy of the drafts; of which documents some were new."""
        taken = self.keys.take_signatures(folder)
        if taken:
            self._record("keys import", roles=[*taken])
        return taken

    def drop(self, roles: Sequence[TrustRole]) -> tuple[TrustRole, ...]:
        """Forget drafts of these documents, signed or not; which ones that were. What is published stays."""
        dropped = self.keys.drop(roles)
        if dropped:
            self._record("drop", roles=[*dropped])
        return dropped

    def _record(self, verb: str, **data: object) -> None:
        self.open_ledger().append(Draft(Kind.COMMAND, f"agent {verb}", data={"author": self.author, **data}))
