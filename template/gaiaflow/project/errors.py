"""The exception whose message is written for users."""

from __future__ import annotations

import errno


class GaiaflowError(Exception):
    """An error that the user can fix. The message says what happened and what to do next."""

    exit_code = 1


_FREE_SPACE = "Nothing is lost: free some space and try again."
_DISK_IS_FULL = ("No space left on device", "database or disk is full", "os error 28")


def explain_output(output: str) -> str:
    """Put the cause, if we know it, above the output of a failed program."""
    if any(sign in output for sign in _DISK_IS_FULL):
        return f"the disk is full. {_FREE_SPACE}\n{output}"
    return output


def explain(error: OSError) -> str:
    """Describe an operating system's error, and how to fix it."""
    where = f" ({error.filename})" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"The disk is full{where}. {_FREE_SPACE}"
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return f"No permission to write{where}. Check who owns the file (ls -l) and try again."
    return f"{error.strerror or error}{where}"
