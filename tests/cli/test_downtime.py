"""Rules of `zlh-hooks downtime`: a table that billing may rely on, and nothing in it that bites."""

import csv
import io
import json
import stat
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from typer.testing import Result

from tests.application.rollout_bench import Bench
from tests.cli.command_line import make_runner
from tests.clock import FakeClock
from zlh_hooks import downtime_wiring, wiring
from zlh_hooks.adapters.ledger import SqlLedger
from zlh_hooks.cli.downtime import app
from zlh_hooks.cli.downtime_table import COLUMNS
from zlh_hooks.domain.entry import Draft, Kind
from zlh_hooks.domain.errors import NotAllowed, SettingsError
from zlh_hooks.domain.rollout_outage import SAID_TO_RUN
from zlh_hooks.domain.sight import Turn
from zlh_hooks.domain.watch_book import WATCH_BEGAN, WATCH_ENDED

POLICY = """
time_zone = "Europe/Berlin"
[kinds.game]
vmids = ["5000-5999"]
line = "game-base"
[lines.game-base]
data_paths = ["/data"]
probes = [{ kind = "agent" }]
[availability]
goal_percent = 99.5
cap_percent = 20
[[availability.credits]]
below_percent = 99.5
credit_percent = 12.5
[availability.watch.reference]
kind = "tcp"
port = 443
[availability.watch.points.router]
title = "Router"
component = "opnsense"
behind = { nodes = ["n1"] }
probe = { kind = "tcp", port = 443, interval = "30s" }
"""
WATCH = '[watch]\nreference = "198.51.100.1"\n[watch.addresses]\nrouter = "203.0.113.1"\n'
CUSTOMERS = """id,name,guests
ann,"=HYPERLINK(""http://evil.example"")",5001
-7,"Bob, GmbH",5002
"""
OCTOBER = datetime(2024, 9, 30, 22, tzinfo=UTC)
HOURS = 745
"""So many has October 2024 in Berlin."""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The options that name both files. October was watched; the router was away for eight hours of it."""
    config, policy, customers = (tmp_path / name for name in ("zlh-hooks.toml", "policy.toml", "customers.csv"))
    settings = f'[ledger]\npath = "{tmp_path / "ledger.sqlite"}"\n[directory]\nfile = "{customers}"\n'
    config.write_text(f'[proxmox]\nhost = "pve1.example"\ntoken_name = "hooks"\n{settings}{WATCH}')
    policy.write_text(POLICY)
    customers.write_text(CUSTOMERS)
    fill_ledger(tmp_path / "ledger.sqlite")
    datacentre = Bench().furnish(3).datacentre
    monkeypatch.setattr(wiring, "open_cluster", lambda settings: datacentre.cluster)
    return ["--config", str(config), "--policy", str(policy)]


def fill_ledger(path: Path) -> None:
    clock = FakeClock(OCTOBER)
    with closing(SqlLedger.open(path, clock)) as ledger:
        see(ledger, WATCH_BEGAN, points=["router"], seen=None)
        clock.advance(timedelta(days=4))
        see(ledger, Turn.OUTAGE_BEGAN, point="router", at=clock.now().isoformat())
        clock.advance(timedelta(hours=8))
        see(ledger, Turn.OUTAGE_ENDED, point="router", at=clock.now().isoformat())
        clock.advance(timedelta(hours=HOURS - 4 * 24 - 8))
        see(ledger, WATCH_ENDED)


def see(ledger: SqlLedger, name: str, **data: Any) -> None:
    ledger.append(Draft(Kind.EVIDENCE, name, data=data))


def type_in(files: list[str], *words: str) -> Result:
    return make_runner().invoke(app, [*words, *files])


def export(files: list[str], month: str = "2024-10", *words: str) -> list[dict[str, str]]:
    done = type_in(files, "export", "--month", month, *words)
    assert done.exit_code == 0, done.output
    return list(csv.DictReader(io.StringIO(done.stdout)))


def test_the_table_has_the_promised_columns_and_a_row_for_each_guest(files: list[str]) -> None:
    rows = export(files)
    assert tuple(rows[0]) == COLUMNS
    assert [row["guest"] for row in rows] == ["5003", "5002", "5001"], "by customer: nobody, -7, ann"


def test_a_row_says_what_counts_against_the_goal_and_what_is_proposed(files: list[str]) -> None:
    row = next(row for row in export(files) if row["guest"] == "5001")
    seconds = HOURS * 3600
    assert (row["planned_seconds"], row["unplanned_seconds"], row["unknown_seconds"]) == ("0", str(8 * 3600), "0")
    assert float(row["available_percent"]) == pytest.approx(100 - 8 * 3600 * 100 / seconds, abs=0.001)
    assert (row["goal_percent"], row["goal"], row["credit_percent"]) == ("99.500", "missed", "12.500")
    assert (row["month"], row["final"]) == ("2024-10", "yes")
    assert (row["from"], row["until"]) == ("2024-09-30T22:00:00+00:00", "2024-10-31T23:00:00+00:00")


def test_downtime_is_told_by_whether_it_lay_in_a_window_of_the_component_that_was_away(
    files: list[str], tmp_path: Path
) -> None:
    assert export(files)[0]["unplanned_in_windows_seconds"] == "0", "the policy has no window"
    night = 'rule = "FREQ=DAILY"\nstart = "01:00"\nlength_minutes = 60\ncomponents = ["opnsense"]\n'
    (tmp_path / "policy.toml").write_text(f'{POLICY}[[windows]]\nname = "night"\n{night}')
    row = next(row for row in export(files) if row["guest"] == "5001")
    assert (row["planned_in_windows_seconds"], row["unplanned_in_windows_seconds"]) == ("0", "3600")
    done = type_in(files, "export", "--month", "2024-10", "--json")
    (outage,) = next(one["outages"] for one in json.loads(done.stdout)["accounts"] if one["guest"] == 5001)
    expected = [{"from": "2024-10-04T23:00:00+00:00", "until": "2024-10-05T00:00:00+00:00"}]
    assert (outage["component"], outage["in_windows"]) == ("opnsense", expected)


def test_a_guest_that_is_not_behind_what_failed_met_its_goal(files: list[str]) -> None:
    row = next(row for row in export(files) if row["guest"] == "5002")
    assert (row["unplanned_seconds"], row["available_percent"], row["goal"]) == ("0", "100.000", "met")
    assert row["credit_percent"] == "0.000"


def test_no_name_becomes_a_formula(files: list[str]) -> None:
    by_guest = {row["guest"]: row for row in export(files)}
    assert by_guest["5001"]["customer_name"] == '\'=HYPERLINK("http://evil.example")'
    assert by_guest["5002"]["customer"] == "'-7"
    assert by_guest["5002"]["customer_name"] == "Bob, GmbH"
    cells = [cell for row in by_guest.values() for cell in row.values()]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]


def test_guests_of_nobody_are_named_under_an_empty_customer_and_credited_to_nobody(files: list[str]) -> None:
    row = next(row for row in export(files) if row["guest"] == "5003")
    assert (row["customer"], row["customer_name"], row["guest_name"]) == ("", "", "game-5003")
    assert (row["goal"], row["credit_percent"]) == ("missed", "0.000")


def test_a_file_is_for_its_owners_eyes_and_written_whole_or_not_at_all(files: list[str], tmp_path: Path) -> None:
    path = tmp_path / "out" / "october.csv"
    assert type_in(files, "export", "--month", "2024-10", "--output", str(path)).stdout == ""
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text().count("\n") == 4
    before = path.read_bytes()
    (tmp_path / "customers.csv").write_text("id\n")
    refused = type_in(files, "export", "--month", "2024-10", "--output", str(path))
    assert isinstance(refused.exception, SettingsError)
    assert path.read_bytes() == before and [one.name for one in path.parent.iterdir()] == ["october.csv"]


def test_what_nobody_watched_is_told_apart_and_is_neither_up_nor_down(files: list[str]) -> None:
    month = f"{datetime.now(ZoneInfo('Europe/Berlin')):%Y-%m}"
    done = type_in(files, "export", "--month", month)
    assert f"{month} is not over: reckoned up to" in done.stderr
    assert "2 guests: nobody watched router" in done.stderr
    rows = list(
        csv.DictReader(io.StringIO("\n".join(line for line in done.stdout.splitlines() if line.count(",") > 9)))
    )
    assert {row["final"] for row in rows} == {"no"}
    row = next(row for row in rows if row["guest"] == "5001")
    assert row["unplanned_seconds"] == "0" < row["unknown_seconds"]
    assert (row["available_percent"], row["available_at_worst_percent"], row["goal"]) == ("100.000", "0.000", "unknown")


def test_json_says_what_each_figure_rests_on(files: list[str]) -> None:
    document = json.loads(type_in(files, "export", "--month", "2024-10", "--json").stdout)
    account = next(one for one in document["accounts"] if one["guest"] == 5001)
    (outage,) = account["outages"]
    assert outage["cause"] == "Router (router) could not be reached from outside"
    assert (outage["from"], outage["until"]) == ("2024-10-04T22:00:00+00:00", "2024-10-05T06:00:00+00:00")
    assert (account["unplanned_seconds"], outage["announced"], document["final"]) == (8 * 3600, [], True)


@pytest.mark.parametrize("month", ["2024-13", "october", "2024-1"])
def test_what_is_no_month_is_a_usage_error(files: list[str], month: str) -> None:
    done = type_in(files, "export", "--month", month)
    assert done.exit_code == 2 and "a month such as 2026-11" in done.stderr


def test_a_month_to_come_is_refused(files: list[str]) -> None:
    refused = type_in(files, "export", "--month", "2199-01")
    assert isinstance(refused.exception, NotAllowed)
    assert "allowed from 2198-12-31T23:00+00:00" in str(refused.exception)


def test_who_only_looks_makes_no_ledger(files: list[str], tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").unlink()
    assert {row["unknown_seconds"] for row in export(files)} == {"0", str(HOURS * 3600)}
    assert not (tmp_path / "ledger.sqlite").exists()


def test_a_word_for_a_guest_that_is_not_down_is_refused(files: list[str]) -> None:
    refused = type_in(files, "ended", "5001", "--reason", "looks well")
    assert isinstance(refused.exception, NotAllowed)
    assert "no outage that a rollout began" in str(refused.exception)


def test_a_persons_word_ends_what_a_rollout_left_down(files: list[str], tmp_path: Path) -> None:
    began = OCTOBER + timedelta(days=7)
    clock = FakeClock(began)
    with closing(SqlLedger.open(tmp_path / "ledger.sqlite", clock)) as ledger:
        for kind, name in ((Kind.INTENT, "exchange.restart"), (Kind.REQUESTED, "exchange.restart")):
            ledger.append(Draft(kind, name, "r1", 5002))
    assert export(files)[1]["note"].endswith("not ended: rollout r1, since 2024-10-07 22:00 UTC")
    done = type_in(files, "ended", "5002", "--at", "2024-10-08T01:00", "--reason", "started by hand")
    assert done.stdout == "recorded: guest 5002 can be used since 2024-10-07 23:00 UTC\n", done.output
    assert export(files)[1]["unplanned_seconds"] == "3600"
    with closing(SqlLedger.open(tmp_path / "ledger.sqlite", clock)) as ledger:
        word = ledger.read()[-1]
    assert (word.name, word.target, word.data["reason"]) == (SAID_TO_RUN, 5002, "started by hand")
    assert word.data["author"]


# --- watch


@pytest.mark.parametrize(
    ("settings", "key", "expected"),
    [
        ("", "watch", "reference and addresses"),
        (WATCH.replace("router", "edge"), "watch.addresses.router", "the public IP address of Router"),
        (
            WATCH + 'edge = "203.0.113.2"\n',
            "watch.addresses.edge",
            "a point of the policy's [availability.watch]: router",
        ),
        (WATCH.replace("203.0.113.1", "gw.example"), "watch.addresses.router", "an IP address such as"),
        (WATCH.replace('reference = "198.51.100.1"\n', ""), "watch.reference", "a value"),
    ],
)
def test_an_address_that_is_missing_or_wrong_is_named(
    files: list[str], tmp_path: Path, settings: str, key: str, expected: str
) -> None:
    config = tmp_path / "zlh-hooks.toml"
    config.write_text(config.read_text().replace(WATCH, settings))
    refused = type_in(files, "watch")
    assert isinstance(refused.exception, SettingsError)
    assert (refused.exception.file, refused.exception.key) == (str(config), key)
    assert expected in refused.exception.expected


def test_a_policy_that_watches_nothing_says_so(files: list[str], tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(POLICY.partition("[availability.watch")[0])
    refused = type_in(files, "watch")
    assert isinstance(refused.exception, NotAllowed) and "[availability.watch]" in str(refused.exception)


def test_the_policy_may_promise_without_watching(files: list[str], tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(POLICY.partition("[availability.watch")[0])
    assert {row["unknown_seconds"] for row in export(files)} == {"0"}


def test_addresses_may_be_of_either_family(files: list[str], tmp_path: Path) -> None:
    config = tmp_path / "zlh-hooks.toml"
    config.write_text(config.read_text().replace("203.0.113.1", "2001:db8::1"))
    site = wiring.open_site(config, tmp_path / "policy.toml")
    assert downtime_wiring.open_outlook(site.settings, site.policy, config).addresses == {"router": "2001:db8::1"}


# --- announce


def test_work_by_hand_that_is_told_in_time_is_recorded_with_who_said_so(files: list[str], tmp_path: Path) -> None:
    window = '[[windows]]\nname = "night"\nrule = "FREQ=DAILY"\nstart = "04:00"\nlength_minutes = 120\n'
    policy = tmp_path / "policy.toml"
    policy.write_text(POLICY.replace("[kinds.game]", f"{window}[kinds.game]", 1))
    day = datetime.now(ZoneInfo("Europe/Berlin")).date() + timedelta(days=9)
    times = ("--from", f"{day}T04:00", "--until", f"{day}T05:30")
    done = type_in(files, "announce", "router", *times, "--reason", "firmware; told by mail")
    assert done.stdout.startswith("recorded: router may be away "), done.output
    with closing(SqlLedger.open(tmp_path / "ledger.sqlite", FakeClock())) as ledger:
        data = ledger.read()[-1].data
    assert (data["point"], data["reason"], bool(data["author"])) == ("router", "firmware; told by mail", True)
    outside = type_in(files, "announce", "router", "--from", f"{day}T07:00", "--until", f"{day}T08:00", "--reason", "x")
    assert isinstance(outside.exception, NotAllowed) and "outside every window" in str(outside.exception)
