"""The one exception whose text is written for the person at the keyboard."""

from __future__ import annotations

import errno


class GaiaflowError(Exception):
    """Something went wrong that the user can mend. The message says what, and what to do next."""


def explain(error: OSError) -> str:
    """Say an operating system's error so that it can be acted upon."""
    where = f" ({error.filename})" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"The disk is full{where}. Nothing is lost: free some space and try again."
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return f"No permission to write{where}. Check who owns the file (ls -l) and try again."
    return f"{error.strerror or error}{where}"
