"""The one exception whose text is written for the person at the keyboard."""

from __future__ import annotations

import errno


class GaiaflowError(Exception):
    """Something went wrong that the user can mend. The message says what, and what to do next."""

    exit_code = 1


_FREE_SPACE = "Nothing is lost: free some space and try again."
_DISK_IS_FULL = ("No space left on device", "database or disk is full", "os error 28")


def explain_output(output: str) -> str:
    """What a program that failed has written, under the cause that we know, if we know one."""
    if any(sign in output for sign in _DISK_IS_FULL):
        return f"the disk is full. {_FREE_SPACE}\n{output}"
    return output


def explain(error: OSError) -> str:
    """Say an operating system's error so that it can be acted upon."""
    where = f" ({error.filename})" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"The disk is full{where}. {_FREE_SPACE}"
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return f"No permission to write{where}. Check who owns the file (ls -l) and try again."
    return f"{error.strerror or error}{where}"
