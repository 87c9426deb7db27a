"""Customers in memory: who they are, one channel that reaches them, and what everybody may read."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from zlh_hooks.domain.errors import TargetError
from zlh_hooks.domain.notice import Bulletin, Customer, Message


@dataclass(slots=True)
class SimulatedDirectory:
    """Customers that may change at any time."""

    customers: list[Customer]

    def list_customers(self) -> tuple[Customer, ...]:
        """As they are now."""
        return tuple(self.customers)


@dataclass(slots=True)
class SimulatedMail:
    """Takes every message to an address that it does not refuse."""

    name: str = "mail"
    refused: frozenset[str] = frozenset()
    sent: list[tuple[str, Message]] = field(default_factory=list)

    def find_address(self, customer: Customer) -> str | None:
        """The mail address."""
        return customer.mail

    def send_notice(self, address: str, message: Message) -> str:
        """Taken, and kept."""
        if address in self.refused:
            raise TargetError("550 no such mailbox")
        self.sent.append((address, message))
        return "250 accepted"


@dataclass(slots=True)
class SimulatedFeed:
    """Remembers what was last shown."""

    shown: Sequence[Bulletin] = ()

    def write_bulletins(self, bulletins: Sequence[Bulletin], now: datetime) -> None:
        """In place of what was there."""
        self.shown = bulletins
