"""The two files of a site whose Proxmox nobody asks."""

from pathlib import Path


def write_site(folder: Path, policy: str, settings: str = "") -> list[str]:
    """Policy, settings with a token and a ledger in the folder, and more ``settings``; the options that name both files."""
    token, config, rules = (folder / name for name in ("token", "zlh-hooks.toml", "policy.toml"))
    token.touch(mode=0o600)
    proxmox = f'[proxmox]\nhost = "pve1.example"\nuser = "zlh@pve"\ntoken_name = "hooks"\ntoken_file = "{token}"\n'
    config.write_text(f'{proxmox}[ledger]\npath = "{folder / "ledger.sqlite"}"\n{settings}')
    rules.write_text(policy)
    return ["--config", str(config), "--policy", str(rules)]
