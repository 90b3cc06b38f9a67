"""Files that a process can reach, by rules of the kernel's (Linux 6.2 and newer, ``landlock(7)``); no privilege."""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from collections.abc import Iterable

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # the same on every processor
_ASK_VERSION, _PATH_BENEATH = 1, 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_MAKE_CHAR, _MAKE_SOCK, _MAKE_BLOCK = 1 << 6, 1 << 9, 1 << 11
_TRUNCATE = 1 << 14
_READ = _READ_FILE | _READ_DIR
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
_FENCES_TRUNCATION = 3  # the version, of Linux 6.2; those of 5.13 and 5.19 let a file be emptied that is only read
_CONNECT_AND_BIND = 0b11
_SCOPES = 0b11  # abstract sockets, and signals
_PR_SET_NO_NEW_PRIVS = 38


def fence_files(readable: Iterable[str], writable: Iterable[str], devices: Iterable[str]) -> bool:
    """Leave this process only what lies below some folders, for good; False where the kernel lacks a rule.

    What an older kernel has of the rules is set even so.

    Args:
        readable: folders to read; those that are not there are left out.
        writable: folders to read, write and make files in.
        devices: files to read and write.
    """
    if platform.system() != "Linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    version = _version(libc)
    if version < 1:
        return False
    handled = (1 << (13 + (version >= 2) + (version >= 3) + (version >= 5))) - 1
    attributes = struct.pack("Q", handled)
    if version >= 4:
        attributes += struct.pack("Q", _CONNECT_AND_BIND)
    if version >= 6:
        attributes += struct.pack("Q", _SCOPES)
    rules = libc.syscall(_CREATE, ctypes.c_char_p(attributes), ctypes.c_size_t(len(attributes)), 0)
    if rules < 0:
        return False
    everything = handled & ~(_MAKE_CHAR | _MAKE_SOCK | _MAKE_BLOCK | _EXECUTE)
    for paths, allowed in ((readable, _READ), (writable, everything), (devices, handled & _OF_FILES & ~_EXECUTE)):
        for path in paths:
            _allow(libc, rules, path, allowed)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    fenced = libc.syscall(_RESTRICT, rules, 0) == 0
    os.close(rules)
    return fenced and version >= _FENCES_TRUNCATION


def _version(libc: ctypes.CDLL) -> int:
    return libc.syscall(_CREATE, None, ctypes.c_size_t(0), _ASK_VERSION)


def _allow(libc: ctypes.CDLL, rules: int, path: str, allowed: int) -> None:
    try:
        folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not os.path.isdir(path):  # noqa: PTH112  pathlib is not imported in here
            allowed &= _OF_FILES
        rule = struct.pack("=Qi", allowed, folder)
        libc.syscall(_ADD, rules, _PATH_BENEATH, ctypes.c_char_p(rule), 0)
    finally:
        os.close(folder)
