"""The product's own adapter, connected to a served stand-in."""

from datetime import timedelta

from tests.stand_in.serving import TOKEN_NAME, USER, Serving
from zlh_hooks.adapters.proxmox import Proxmox
from zlh_hooks.adapters.proxmox_access import Access


def connect(serving: Serving, timeout: timedelta = timedelta(seconds=10)) -> Proxmox:
    """As ``zlh@pve!hooks``."""
    pve = serving.pve
    access = Access(pve.host, USER, TOKEN_NAME, serving.token, pve.port, serving.ca_file, timeout)
    return Proxmox(access)
