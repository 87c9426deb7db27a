"""``pvesh`` and ``pvesm`` as far as a node's program asks them, on the files of a :mod:`tests.hookscripts.cluster_room`.

They answer and refuse what the real ones do, with their words (pve-manager 9.2, pve-storage 9.1.7, pve-container 6.1.10,
qemu-server 9.2.6). ``/etc/site.json`` says what the cluster is; each call is noted in ``/srv/calls``.
"""

import hashlib
import json
import os
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SITE, CALLS, CONFIGS = Path("/etc/site.json"), Path("/srv/calls"), Path("/etc/pve")
CONFIG = re.compile(r"/nodes/([^/]+)/(lxc|qemu)/(\d+)/config")
CONTENT = re.compile(r"/nodes/([^/]+)/storage/([^/]+)/content")
FOLDERS = {"lxc": "lxc", "qemu": "qemu-server"}


class Refusal(Exception):
    """What Proxmox says instead of doing it."""


def main(program: str, words: Sequence[str]) -> None:
    """One call."""
    site = json.loads(SITE.read_text())
    with CALLS.open("a") as calls:
        calls.write(json.dumps([program, *words]) + "\n")
    try:
        print(ask_storage(site, words) if program == "pvesm" else call(site, words))
    except Refusal as refusal:
        sys.exit(str(refusal))


def call(site: Mapping[str, Any], words: Sequence[str]) -> str:
    """pvesh VERB PATH OPTIONS"""
    verb, path, *rest = words
    options = dict(zip((word.removeprefix("--") for word in rest[::2]), rest[1::2], strict=True))
    if verb == "get" and options.pop("output-format") == "json":
        return json.dumps(get(site, path, options))
    if verb == "set" and (found := CONFIG.fullmatch(path)):
        write(site, found, options)
        return ""
    raise Refusal(f"No '{verb}' handler defined for '{path}'")


def get(site: Mapping[str, Any], path: str, options: Mapping[str, str]) -> object:
    """What is known of cluster, storages, pools and snippets."""
    if path == "/cluster/status":
        return list_nodes(site)
    if path == "/storage":
        return site["storages"]
    if path == "/pools":
        return find_pool(site, options["poolid"])
    found = CONTENT.fullmatch(path)
    if not found or options != {"content": "snippets"}:
        raise Refusal(f"No 'get' handler defined for '{path}'")
    return list_snippets(site, *found.groups())


def list_nodes(site: Mapping[str, Any]) -> "list[dict[str, Any]]":
    nodes = [
        {"type": "node", "name": name, "online": online, "local": int(name == site["own"])}
        for name, online in site["nodes"].items()
    ]
    return [{"type": "cluster", "name": "zlh", "quorate": site["quorate"]}, *nodes] if len(nodes) > 1 else nodes


def find_pool(site: Mapping[str, Any], name: str) -> "list[dict[str, Any]]":
    if name not in site["pools"]:
        raise Refusal(f"pool '{name}' does not exist")
    storage = {"type": "storage", "storage": "local", "id": "storage/local"}
    return [{"poolid": name, "members": [{"type": "lxc", "vmid": vmid} for vmid in site["pools"][name]] + [storage]}]


def list_snippets(site: Mapping[str, Any], node: str, storage: str) -> "list[dict[str, Any]]":
    reach(site, node)
    settings = find_storage(site, storage)
    if node not in settings.get("nodes", node).split(","):
        raise Refusal(f"storage '{storage}' is not available on node '{node}'")
    folder = folder_on(site, node, settings)
    names = sorted(path.name for path in folder.glob("[!.]*") if not path.is_dir())
    return [{"volid": f"{storage}:snippets/{name}", "content": "snippets"} for name in names]


def reach(site: Mapping[str, Any], node: str) -> None:
    """Whatever is asked of another node goes there by ssh."""
    if node in site["hanging"]:
        signal.pause()
    if not site["nodes"].get(node) or node in site["unreachable"]:
        raise Refusal(f"ssh: connect to host {node} port 22: No route to host\nproxy handler failed")


def find_storage(site: Mapping[str, Any], storage: str) -> "dict[str, Any]":
    for settings in site["storages"]:
        if settings["storage"] == storage:
            return dict(settings)
    raise Refusal(f"storage '{storage}' does not exist")


def folder_on(site: Mapping[str, Any], node: str, settings: Mapping[str, Any]) -> Path:
    own = Path(settings["path"]) / "snippets"
    return own if node == site["own"] else Path("/srv/node") / node / own.relative_to("/")


def write(site: Mapping[str, Any], found: "re.Match[str]", options: "dict[str, str]") -> None:
    """A config's hookscript, in one step."""
    node, kind, vmid = found.groups()
    reach(site, node)
    path = CONFIGS / "nodes" / node / FOLDERS[kind] / f"{vmid}.conf"
    if not path.exists():
        raise Refusal(f"Configuration file 'nodes/{node}/{FOLDERS[kind]}/{vmid}.conf' does not exist")
    meddle(site, int(vmid), path)
    text = path.read_text()
    head, mark, rest = text.partition("\n[")
    lines = head.splitlines()
    check_write(site, node, text, lines, options)
    kept = [line for line in lines if not line.startswith("hookscript:")]
    named = [f"hookscript: {options['hookscript']}"] if "hookscript" in options else []
    draft = path.with_name(f".{vmid}.tmp")
    draft.write_text("\n".join([*kept, *named]) + ("\n" if not mark else "\n" + mark[1:] + rest))
    draft.rename(path)


def meddle(site: Mapping[str, Any], vmid: int, path: Path) -> None:
    """What a test wants to happen at this very moment."""
    if vmid == site.get("kill_at"):  # the program that called timeout, which called us
        os.kill(int(Path(f"/proc/{os.getppid()}/stat").read_text().split()[3]), signal.SIGKILL)
    if vmid == site.get("edit_at"):
        path.write_text("hookscript: local:snippets/somebody-elses\n" + path.read_text())


def check_write(
    site: Mapping[str, Any], node: str, text: str, lines: Sequence[str], options: Mapping[str, str]
) -> None:
    for line in lines:
        if line.startswith("lock: "):
            raise Refusal(f"CT is locked ({line.removeprefix('lock: ')})")
    if options["digest"] != hashlib.sha1(text.encode()).hexdigest():
        raise Refusal("detected modified configuration - file changed by other user? Try again.")
    if "hookscript" in options:
        check_script(site, node, options["hookscript"])
    elif options.get("delete") != "hookscript":
        raise Refusal("no options specified")


def check_script(site: Mapping[str, Any], node: str, volume: str) -> None:
    """As check_hookscript of PVE::GuestHelpers does, on the guest's node."""
    storage, _, name = volume.partition(":snippets/")
    path = folder_on(site, node, find_storage(site, storage)) / name
    if not path.is_file():
        raise Refusal(f"script '{volume}' does not exist")
    if not os.access(path, os.X_OK):
        raise Refusal(f"script '{volume}' is not executable")


def ask_storage(site: Mapping[str, Any], words: Sequence[str]) -> str:
    """pvesm path VOLUME"""
    if words[0] != "path" or len(words) != 2:
        raise Refusal("unknown command")
    storage, _, name = words[1].partition(":snippets/")
    return str(folder_on(site, site["own"], find_storage(site, storage)) / name)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
