"""The page on downtime says what the export prints, and what the settings take."""

import re
import shlex
from pathlib import Path

from tests.cli.command_line import find_commands, parse
from tests.test_notices_page import REPOSITORY
from zlh_hooks.cli.downtime_table import COLUMNS
from zlh_hooks.settings import SHIPPED_POLICY, load_policy, load_settings

PAGE = (REPOSITORY / "docs" / "reference" / "downtime.md").read_text(encoding="utf-8")


def test_the_page_names_every_column_of_the_export_in_its_order() -> None:
    table = PAGE.partition("| column |")[2].partition("\n\n")[0]
    assert tuple(re.findall(r"(?m)^\| `([^`]+)` \|", table)) == COLUMNS


def test_the_settings_on_the_page_and_in_the_readme_give_an_address_to_each_point_of_the_shipped_policy(
    tmp_path: Path,
) -> None:
    availability = load_policy(SHIPPED_POLICY).availability
    assert availability is not None and availability.watch is not None
    for text in (PAGE, (REPOSITORY / "README.md").read_text(encoding="utf-8")):
        blocks = [block for block in re.findall(r"```toml\n(.*?)```", text, re.DOTALL) if "[watch]" in block]
        path = tmp_path / "zlh-hooks.toml"
        proxmox = '[proxmox]\nhost = "pve1.example"\ntoken_name = "hooks"\n'
        path.write_text(proxmox + "\n".join(blocks))
        watch = load_settings(path).watch
        assert watch is not None and set(watch.addresses) == set(availability.watch.points)


def test_every_command_on_the_page_is_one_of_the_command_line() -> None:
    found = find_commands(PAGE)
    assert {shlex.split(command)[2] for command in found} == {"export", "watch", "announce", "ended"}
    for command in found:
        parse(command)
