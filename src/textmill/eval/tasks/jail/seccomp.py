"""System calls that a process gives up, by a filter of the kernel's (Linux, ``seccomp(2)``); it needs no privilege.

What is given up: sockets but pairs of streams, other processes (making, running, signalling, tracing them, having
signals sent to them), memory that no limit counts, files cut by their path, rights and owners of files, mounts and
namespaces, clocks, outliving the parent, and raising the limits that were set. A call answers EPERM.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct

_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_NUMBER, _ARCH, _ARGS = 0, 4, 16  # where struct seccomp_data has them
_CLONE_THREAD = 0x00010000
_AF_UNIX, _SOCK_STREAM, _SOCK_TYPES = 1, 1, 0xF  # beside the type stand flags
_OWNERS = (8, 15, 10)  # F_SETOWN F_SETOWN_EX F_SETSIG: who is signalled when a file is ready
_OWNERS_TOO = (0x8901, 0x8902)  # FIOSETOWN SIOCSPGRP
_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _MODE_FILTER = 38, 22, 2

# By the numbers of unistd_64.h and of asm-generic/unistd.h. Those from 424 on are the same everywhere.
_SAME = (424, 425, 426, 427, 428, 429, 430, 431, 432, 433, 434, 438, 440, 442, 447, 452)
_X86_64 = (
    *(41, 42, 43, 49, 50, 288),  # socket connect accept bind listen accept4
    *(57, 58, 59, 322, 101, 200, 310, 311, 312),  # fork vfork execve execveat ptrace tkill process_vm_* kcmp
    *(29, 30, 31, 67, 64, 65, 66, 220, 68, 69, 70, 71, 240, 241, 319),  # shm* sem* msg* mq_* memfd_create
    *(90, 91, 268, 92, 93, 94, 260, 188, 189, 190, 197, 198, 199),  # chmod* chown* *xattr
    *(76, 132, 235, 261, 280, 133, 259),  # truncate utime* mknod*
    *(105, 106, 109, 112, 113, 114, 116, 117, 119, 141, 251),  # set*id setgroups setpriority ioprio_set
    *(
        155,
        161,
        165,
        166,
        167,
        168,
        169,
        170,
        171,
        272,
        308,
    ),  # pivot_root chroot mount* swap* reboot *name unshare setns
    *(175, 176, 313, 246, 320, 179, 321, 298, 323),  # modules kexec quotactl bpf perf_event_open userfaultfd
    *(159, 164, 227, 305, 160, 303, 304, 248, 249, 250),  # clocks setrlimit handles keys
)
_AARCH64 = (
    *(198, 203, 202, 200, 201, 242),
    *(221, 281, 117, 130, 270, 271, 272),
    *(194, 195, 196, 197, 190, 191, 192, 193, 186, 187, 188, 189, 180, 181, 279),
    *(52, 53, 54, 55, 5, 6, 7, 14, 15, 16),
    *(45, 88, 33),
    *(143, 144, 145, 146, 147, 149, 154, 157, 159, 140, 30),
    *(41, 51, 40, 39, 224, 225, 142, 161, 162, 97, 268),
    *(105, 106, 273, 104, 294, 60, 280, 241, 282),
    *(171, 170, 112, 266, 164, 264, 265, 217, 218, 219),
)
# arch, calls that are refused, clone, the signals that go to a process, prlimit64, socketpair, and calls that are
# refused by an argument: the number of the call, that of the argument, its values
_Machine = tuple[int, tuple[int, ...], int, tuple[int, ...], int, int, tuple[tuple[int, int, tuple[int, ...]], ...]]
_MACHINES: dict[str, _Machine] = {
    "x86_64": (
        0xC000003E,
        _X86_64,
        56,
        (62, 234, 129, 297),
        302,
        53,
        ((72, 1, _OWNERS), (16, 1, _OWNERS_TOO), (157, 0, (_PR_SET_PDEATHSIG,))),
    ),
    "aarch64": (
        0xC00000B7,
        _AARCH64,
        220,
        (129, 131, 138, 240),
        261,
        199,
        ((25, 1, _OWNERS), (29, 1, _OWNERS_TOO), (167, 0, (_PR_SET_PDEATHSIG,))),
    ),
}
_CLONE3 = 435


def give_up_calls() -> bool:
    """Set the filter for this process and its threads, for good; False where there is none for this system."""
    machine = _MACHINES.get(platform.machine())
    if platform.system() != "Linux" or machine is None:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    program = _program(machine, os.getpid())
    code = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: a length in 16 bits, and a pointer at the next place for one.
    fprog = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    return libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.c_char_p(fprog), 0, 0) == 0


def _program(machine: _Machine, pid: int) -> bytes:
    """The filter in classic BPF: 8 bytes an instruction, jumps over so many of those that follow."""
    arch, refused, clone, signals, prlimit, socketpair, by_argument = machine
    no = _ERRNO | errno.EPERM
    code = [
        _op(_LOAD, _ARCH),
        _op(_EQUAL, arch, 1, 0),
        _op(_RETURN, _KILL),
        _op(_LOAD, _NUMBER),
        _op(_AT_LEAST, 0x40000000, 0, 1),  # x32 has its own numbers for the same calls
        _op(_RETURN, _KILL),
        _op(_EQUAL, _CLONE3, 0, 1),  # its flags lie in memory; without it the C library takes clone
        _op(_RETURN, _ERRNO | errno.ENOSYS),
    ]
    for number in (*refused, *_SAME):
        code += [_op(_EQUAL, number, 0, 1), _op(_RETURN, no)]
    code += [
        _op(_EQUAL, clone, 0, 4),  # threads only
        _op(_LOAD, _ARGS),
        _op(_ANY_BIT, _CLONE_THREAD, 1, 0),
        _op(_RETURN, no),
        _op(_RETURN, _ALLOW),
    ]
    for number in signals:  # to itself only
        code += [
            _op(_EQUAL, number, 0, 4),
            _op(_LOAD, _ARGS),
            _op(_EQUAL, pid, 1, 0),
            _op(_RETURN, no),
            _op(_RETURN, _ALLOW),
        ]
    code += [
        _op(_EQUAL, prlimit, 0, 6),  # to read only: no new limit
        _op(_LOAD, _ARGS + 2 * 8),
        _op(_EQUAL, 0, 0, 2),
        _op(_LOAD, _ARGS + 2 * 8 + 4),
        _op(_EQUAL, 0, 1, 0),
        _op(_RETURN, no),
        _op(_RETURN, _ALLOW),
    ]
    code += [
        _op(_EQUAL, socketpair, 0, 7),
        _op(_LOAD, _ARGS),
        _op(_EQUAL, _AF_UNIX, 0, 3),
        _op(_LOAD, _ARGS + 8),
        _op(_AND, _SOCK_TYPES),
        _op(_EQUAL, _SOCK_STREAM, 1, 0),
        _op(_RETURN, no),
        _op(_RETURN, _ALLOW),
    ]
    for number, argument, values in by_argument:
        code += [_op(_EQUAL, number, 0, 2 * len(values) + 2), _op(_LOAD, _ARGS + argument * 8)]
        for value in values:
            code += [_op(_EQUAL, value, 0, 1), _op(_RETURN, no)]
        code.append(_op(_RETURN, _ALLOW))
    code.append(_op(_RETURN, _ALLOW))
    return b"".join(code)


def _op(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, value)
