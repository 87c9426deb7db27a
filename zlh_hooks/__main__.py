"""``python -m zlh_hooks``: the command line."""

from zlh_hooks.cli.app import main

main()
