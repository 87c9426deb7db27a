"""The stand-in as a process of its own, for workers that are really killed.

    python -m tests.stand_in --state state.json --directory DIR [--port 0] [--report report.json]

``state.json``: ``{"nodes": [...], "storages": {...}, "time_scale": 0.05, "seconds": {"clone": 3}, "guests": [{"vmid": 5001,
"running": true, ...}]}``, guests with the arguments of ``StandInPve.add_guest``. Prints one line of JSON when it listens:
``url``, ``host``, ``port``, ``user``, ``token_name``, ``ca_file``, ``token_file``. Ends on SIGTERM or SIGINT and then writes
the report: ``counts``, ``foreign``, ``guests`` (their configs) and ``volumes``.
"""

import argparse
import json
import signal
from pathlib import Path
from typing import Any

from tests.stand_in.pve import DEFAULT_STORAGES, StandInPve
from tests.stand_in.serving import TOKEN_NAME, USER, Serving, served
from zlh_hooks.domain.right import GUEST_PRIVILEGES


def load_pve(state: dict[str, Any], port: int) -> StandInPve:
    """The cluster that a state file describes."""
    storages = state.get("storages", DEFAULT_STORAGES)
    pve = StandInPve(nodes=tuple(state.get("nodes", ["pve1"])), storages=storages, port=port)
    pve.time_scale = state.get("time_scale", 0.0)
    pve.ct_secs.update(state.get("seconds", {}))
    for guest in state.get("guests", []):
        pve.add_guest(**guest)
    return pve


def describe(serving: Serving, token_file: Path) -> dict[str, Any]:
    """What a client must know."""
    pve = serving.pve
    reach = {"url": pve.url, "host": pve.host, "port": pve.port, "user": USER, "token_name": TOKEN_NAME}
    return reach | {"ca_file": str(serving.ca_file), "token_file": str(token_file)}


def report(pve: StandInPve) -> dict[str, Any]:
    """What has become of it."""
    return {
        "counts": [{"call": call, "vmid": vmid, "times": times} for (call, vmid), times in sorted(pve.counts.items())],
        "foreign": pve.foreign,
        "guests": {ct.vmid: {"node": ct.node, "status": ct.status, "config": ct.config} for ct in pve.cts},
        "volumes": [volume.volid for name in pve.storages for volume in pve.volumes.list(name)],
    }


def main() -> None:
    """Serve until told to end."""
    parser = argparse.ArgumentParser(prog="tests.stand_in", description="A stand-in for Proxmox VE on loopback.")
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--report", type=Path)
    options = parser.parse_args()
    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # before any thread begins, so that sigwait gets them
    pve = load_pve(json.loads(options.state.read_text()), options.port)
    with served(pve, options.directory, GUEST_PRIVILEGES) as serving:
        token_file = options.directory / "token"
        token_file.touch(mode=0o600)
        token_file.write_text(serving.token)
        print(json.dumps(describe(serving, token_file)), flush=True)
        signal.sigwait(signals)
    if options.report:
        options.report.write_text(json.dumps(report(pve), indent=1))


if __name__ == "__main__":
    main()
