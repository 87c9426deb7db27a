"""Choose the template for a new guest, as `zlh-hooks template pick` does, from a platform's own code.

    python pick.py game-base 5012 [NODE]

Reads /etc/zlh-hooks (or where ZLH_HOOKS_CONFIG and ZLH_HOOKS_POLICY point) and asks Proxmox once.
"""

import sys

import zlh_hooks


def pick_template(line: str, key: str, node: str | None = None) -> zlh_hooks.Choice:
    """The template to clone from. The same key gets the same answer as long as the line's channels stay."""
    policy = zlh_hooks.load_policy()
    proxmox = zlh_hooks.open_proxmox(zlh_hooks.load_settings())
    catalogue = zlh_hooks.parse_catalogue(proxmox.list_guests())
    for problem in catalogue.problems_of(line):
        print(f"warning: {problem.text}", file=sys.stderr)
    percent = policy.lines[line].new_guests_percent if line in policy.lines else 0
    return zlh_hooks.choose_template(catalogue.versions_of(line), key, node, percent)


if __name__ == "__main__":
    try:
        choice = pick_template(*sys.argv[1:4])
    except zlh_hooks.ZlhError as error:
        sys.exit(f"no template: {error}")
    print(f"clone {choice.template.vmid} on {choice.template.node} ({choice.version}, {choice.channel})")
