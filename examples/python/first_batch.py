#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Two system calls in one message, and their completions.

    PYTHONPATH=LINUX/tools/net/ynl first_batch.py [SPEC]

LINUX is a kernel source tree, whose YNL library does the work; SPEC is the
specification of the family, abi/nlcall.yaml or where a package put it.
"""

import ctypes
import os
import struct
import sys

from pyynl.lib import YnlFamily

OPENAT, GETPID = 257, 39
AT_FDCWD = -100 & (1 << 64) - 1
# struct nlcall_call has six arguments, struct nlcall_call_result seven members.
ARGS = struct.Struct("=6Q")
RESULT = struct.Struct("=QqHHIII")


def call(user_data, nr, *args):
    """One call; arguments that it does not have are zero."""
    args = ARGS.pack(*args, *[0] * (6 - len(args)))
    return {"user-data": user_data, "nr": nr, "args": args.hex()}


def main():
    spec = sys.argv[1] if len(sys.argv) > 1 else "/usr/share/ynl/specs/nlcall.yaml"
    path = ctypes.create_string_buffer(b"/etc/hostname")
    calls = [
        call(0, OPENAT, AT_FDCWD, ctypes.addressof(path), os.O_RDONLY),
        call(1, GETPID),
    ]
    # An empty schema: the specification is not validated again.
    with YnlFamily(spec, schema="") as nlcall:
        nlcall.submit({"call-size": 80, "calls": calls})
        left = len(calls)
        for message in nlcall.poll_ntf():
            for user_data, ret, outcome, *_ in RESULT.iter_unpack(message["msg"]["results"]):
                print(f"{('openat', 'getpid')[user_data]}: {ret}, outcome {outcome}", flush=True)
                left -= 1
            if left == 0:
                break


if __name__ == "__main__":
    main()
