"""The lab: real LXC containers, their volumes and their network, behind the stand-in for Proxmox."""
