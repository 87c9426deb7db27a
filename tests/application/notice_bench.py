"""A bench whose customers are told: a directory, two channels and a feed in memory, and a herald that is asked each second."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta

from tests.application.rollout_bench import Bench, make_policy
from zlh_hooks.application.deferral_desk import DeferralDesk
from zlh_hooks.application.herald import Herald, Roads
from zlh_hooks.application.notice_desk import NoticeDesk
from zlh_hooks.domain.deferral import Wish
from zlh_hooks.domain.deferral_link import LinkMaker
from zlh_hooks.domain.errors import RoadError
from zlh_hooks.domain.notice import OPERATOR, Bulletin, Customer, Message
from zlh_hooks.domain.notice_text import Imprint
from zlh_hooks.domain.policy import Policy
from zlh_hooks.simulation.customer import SimulatedDirectory, SimulatedFeed, SimulatedMail

PROMISE = timedelta(minutes=6)
LADDERS = ({"over": "0s", "leads": ["6m", "3m", "1m"]},)
"""A short promise: the world is asked once a second while it waits."""
LINKS = LinkMaker("https://portal.example/date", "k" * 32)
QUARTERS = tuple(
    {"name": f"at {start}", "rule": "FREQ=DAILY", "start": start, "length_minutes": 8}
    for start in ("04:10", "04:25", "04:40", "04:55")
)


def make_telling_policy(windows: Sequence[Mapping[str, object]] = QUARTERS, **rollout: object) -> Policy:
    """The bench's policy with a promise."""
    policy = make_policy(windows, **rollout)
    notices = {"ladders": list(LADDERS), "attempts": 3, "retry": "2m"}
    more = {"notices": notices, "deferral": {"limit": "40m", "security_limit": "15m"}}
    return Policy.model_validate(policy.model_dump(mode="json", exclude_none=True) | more)


class Directory(SimulatedDirectory):
    """Customers that a test may change at any time."""

    def __init__(self, *customers: Customer) -> None:
        super().__init__(list(customers))
        self.broken = False

    def list_customers(self) -> tuple[Customer, ...]:
        if self.broken:
            raise RoadError("no answer")
        return super().list_customers()


@dataclass
class Channel(SimulatedMail):
    """``answers`` are raised, or called, for the next messages instead."""

    answers: list[Exception | Callable[[], str]] = field(default_factory=list)

    def find_address(self, customer: Customer) -> str | None:
        return customer.mail if self.name == "mail" else customer.webhook

    def send_notice(self, address: str, message: Message) -> str:
        answer = self.answers.pop(0) if self.answers else lambda: "250 accepted"
        if isinstance(answer, Exception):
            raise answer
        super().send_notice(address, message)
        return answer()

    def stages(self, address: str | None = None) -> list[str]:
        """What was said, in its order; to one address, or to all."""
        return [message.facts["stage"] for to, message in self.sent if address in (None, to)]


class Feed(SimulatedFeed):
    """Counts how often it was written."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0

    def write_bulletins(self, bulletins: Sequence[Bulletin], now: datetime) -> None:
        super().write_bulletins(bulletins, now)
        self.writes += 1


def owner(name: str, *guests: int, mail: str | None = None) -> Customer:
    """A customer with a mail address."""
    return Customer(name, name.title(), frozenset(guests), mail or f"{name}@example.com")


@dataclass
class TellingBench(Bench):
    """The herald works whenever time passes, as it does beside a real worker."""

    policy: Policy = field(default_factory=make_telling_policy)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.mail, self.hook, self.feed = Channel("mail"), Channel("webhook"), Feed()
        self.directory = Directory(owner("ann", 5001, 5003), owner("bob", 5002, 5004))
        self.herald = self.open_herald()
        self.deadline = datetime.max.replace(tzinfo=self.clock.now().tzinfo)
        self.clock.on_sleep.append(lambda _: self.herald.tend())

    def open_herald(self) -> Herald:
        """As a fresh worker has it."""
        return Herald(self.ledger, self.clock, self.policy, self._open_roads())

    def _open_roads(self) -> Roads:
        operator = Customer(OPERATOR, "", frozenset(), "ops@example.com")
        imprint = Imprint("UTC", "help@example.com", links=LINKS)
        return Roads(self.directory, (self.mail, self.hook), self.feed, operator, imprint)

    def notice_desk(self) -> NoticeDesk:
        """Where people ask about notices."""
        return NoticeDesk(self.ledger, self.clock, self.policy, self._open_roads(), "tester")

    def deferral_desk(self) -> DeferralDesk:
        """Where dates are moved."""
        return DeferralDesk(self.ledger, self.clock, self.policy, self.datacentre.list_guests, lambda: LINKS, "tester")

    def defer(self, vmid: int, clock: str) -> None:
        """An operator moves the guest to the window that begins at that time of today."""
        desk = self.deferral_desk()
        desk.take(desk.ask(vmid), wish(self, clock))


def wish(bench: Bench, clock: str) -> Wish:
    """The window that begins at that time of today."""
    return Wish(datetime.combine(bench.clock.now().date(), time.fromisoformat(clock), UTC))
