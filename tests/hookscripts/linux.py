"""Mounts of a namespace of this process alone, and FUSE without a library: what a node's hook can meet is real."""

import ctypes
import os
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path

READ_ONLY, REMOUNT, PRIVATE = 1, 32, 0x44000
_NEW_MOUNTS, _NEW_NAMES, _BIND = 0x20000, 0x4000000, 4096
_LIBC = ctypes.CDLL(None, use_errno=True)
_INIT = 26
_IO_ERROR = -5


def leave_host(name: str) -> None:
    """From here on what this process mounts is seen by nobody else and ends with it, and the host has this name."""
    _must(_LIBC.unshare(_NEW_MOUNTS | _NEW_NAMES), "unshare")
    socket.sethostname(name)
    _must(_LIBC.mount(b"none", b"/", None, PRIVATE, None), "making mounts private")


def mount(kind: str, target: Path, flags: int = 0, options: str = "") -> None:
    """Mount a file system of this kind there."""
    words = (kind.encode(), bytes(target), kind.encode(), flags, options.encode())
    _must(_LIBC.mount(*words), f"mounting {kind} at {target}")


def bind(source: Path, target: Path) -> None:
    """What lies at ``source`` is at ``target`` too."""
    _must(_LIBC.mount(bytes(source), bytes(target), None, _BIND, None), f"binding {source} to {target}")


def mount_fuse(target: Path, serve: Callable[[int], None] | None) -> int:
    """A FUSE mount whose requests ``serve`` gets (as its descriptor), in a thread; nobody, if it is None.

    Who waits for an answer is let go when the descriptor is closed, at the latest with this process.
    """
    device = os.open("/dev/fuse", os.O_RDWR)
    mount("fuse", target, options=f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other")
    if serve is not None:
        threading.Thread(target=serve, args=(device,), daemon=True).start()
    return device


def swallow(device: int) -> None:
    """Take every request and answer none but the first: who asks waits where no signal reaches it."""
    _serve(device, lambda unique: None)


def break_off(device: int) -> None:
    """Answer everything by an input/output error."""
    _serve(device, lambda unique: struct.pack("<IiQ", 16, _IO_ERROR, unique))


def _serve(device: int, answer: Callable[[int], bytes | None]) -> None:
    while True:
        try:
            request = os.read(device, 1 << 20)
        except OSError:
            return  # unmounted
        _, operation, unique = struct.unpack_from("<IIQ", request)
        said = _greet(unique) if operation == _INIT else answer(unique)
        if said:
            os.write(device, said)


def _greet(unique: int) -> bytes:
    # fuse_init_out of protocol 7.31: major, minor, max_readahead, flags, max_background, congestion, max_write, ...
    body = struct.pack("<IIIIHHIIHHII24x", 7, 31, 65536, 0, 0, 0, 65536, 1, 0, 0, 0, 0)
    return struct.pack("<IiQ", 16 + len(body), 0, unique) + body


def _must(code: int, what: str) -> None:
    if code != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
