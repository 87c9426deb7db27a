"""Destroying template versions that nobody needs: planned on the list, checked again on each template."""

from collections.abc import Sequence
from datetime import timedelta

from zlh_hooks.application.ports import Tasks
from zlh_hooks.application.retag import ChannelPorts, recorded
from zlh_hooks.domain.duration import render_duration
from zlh_hooks.domain.errors import GuestMissing, TargetError
from zlh_hooks.domain.guest import GuestConfig, GuestRef, GuestSummary
from zlh_hooks.domain.line import TemplateVersion, parse_catalogue, plan_retention
from zlh_hooks.domain.tag import CHANNEL, LINE, VERSION

POLL = timedelta(seconds=1)
LONGEST = timedelta(minutes=15)


def list_destroyable(ports: ChannelPorts, line: str, keep: int) -> tuple[TemplateVersion, ...]:
    """What retention would destroy now, oldest first; ``keep`` is how many of the newest versions stay.

    Only if the tags leave anything to destroy is every container's config read, for linked clones.
    """
    guests = ports.inventory.list_guests()
    versions = parse_catalogue(guests).versions_of(line)
    by_tags = plan_retention(versions, guests, keep)
    return plan_retention(versions, guests, keep, _read_configs(ports, guests)) if by_tags else ()


def destroy_version(ports: ChannelPorts, tasks: Tasks, version: TemplateVersion, keep: int) -> None:
    """Destroy the version's templates, one after another; one that is gone already is passed over.

    ``TargetError`` if meanwhile the version came into use, or a number is no longer a template of it.
    """
    if version.version not in {found.version for found in list_destroyable(ports, version.line, keep)}:
        raise TargetError(f"{version.line} {version.version} is in use now: left alone")
    for ref in version.refs:
        try:
            _check(ports.inventory.read_config(ref), version)
        except GuestMissing:
            continue
        with recorded(ports, "destroy_template", {"line": version.line, "version": version.version, "vmid": ref.vmid}):
            _destroy(ports, tasks, ref)


def _read_configs(ports: ChannelPorts, guests: Sequence[GuestSummary]) -> list[GuestConfig]:
    configs = []
    for guest in guests:
        try:
            configs += [ports.inventory.read_config(guest.ref)] if guest.is_container else []
        except GuestMissing:
            continue
    return configs


def _check(config: GuestConfig, version: TemplateVersion) -> None:
    wanted = {LINE + version.line, VERSION + version.version}
    claims = {tag for tag in config.tags if tag.startswith((LINE, VERSION))}
    if not config.flag("template") or claims != wanted:
        raise TargetError(f"guest {config.ref} is no template of {version.line} {version.version} any more: left alone")
    if any(tag.startswith(CHANNEL) for tag in config.tags):
        raise TargetError(f"template {config.ref} has a channel now: left alone")


def _destroy(ports: ChannelPorts, tasks: Tasks, ref: GuestRef) -> None:
    upid = ports.editor.destroy(ref)
    deadline = ports.clock.monotonic() + LONGEST.total_seconds()
    while (result := tasks.read_task(upid)).running:
        if ports.clock.monotonic() >= deadline:
            raise TargetError(f"destroying template {ref} still runs after {render_duration(LONGEST)} (task {upid})")
        ports.clock.sleep(POLL)
    if not result.ok:
        raise TargetError(f"template {ref} was not destroyed: {result.exit_status} (task {upid})")
