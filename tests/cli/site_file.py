"""The two files of a site: one whose Proxmox nobody asks, and one whose Proxmox is served."""

import json
from pathlib import Path

from tests.stand_in.serving import TOKEN_NAME, USER, Serving

GAMES = """
time_zone = "Europe/Berlin"
[kinds.game]
vmids = ["5000-5999"]
line = "game-base"
[lines.game-base]
data_paths = ["/srv/data"]
probes = [{ kind = "tcp", port = 25565 }]
"""
"""One kind of guests and their line, which a test may add to."""


def write_site(folder: Path, policy: str, settings: str = "") -> list[str]:
    """Policy, settings with a token and a ledger in the folder, and more ``settings``; the options that name both files."""
    token, config, rules = (folder / name for name in ("token", "zlh-hooks.toml", "policy.toml"))
    token.touch(mode=0o600)
    proxmox = f'[proxmox]\nhost = "pve1.example"\nuser = "zlh@pve"\ntoken_name = "hooks"\ntoken_file = "{token}"\n'
    config.write_text(f'{proxmox}[ledger]\npath = "{folder / "ledger.sqlite"}"\n{settings}')
    rules.write_text(policy)
    return ["--config", str(config), "--policy", str(rules)]


def write_served_site(folder: Path, serving: Serving, policy: str) -> list[str]:
    """Policy and settings that reach the stand-in with its token; the options that name both files."""
    token, config, rules = (folder / name for name in ("token", "zlh-hooks.toml", "policy.toml"))
    token.touch(mode=0o600)
    token.write_text(serving.token)
    ledger = f'[ledger]\npath = "{folder / "ledger.sqlite"}"'
    reach = {"host": serving.pve.host, "user": USER, "token_name": TOKEN_NAME, "token_file": str(token)}
    lines = [f"{key} = {json.dumps(value)}" for key, value in (reach | {"ca_file": str(serving.ca_file)}).items()]
    config.write_text("\n".join(["[proxmox]", f"port = {serving.pve.port}", *lines, ledger]))
    rules.write_text(policy)
    return ["--config", str(config), "--policy", str(rules)]
