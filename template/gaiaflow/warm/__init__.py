"""Start tasks of mode `dev` without the seconds that imports take.

A server in the project's environment has imported the packages that the project uses. It forks for
every task: the fork imports the project's own code, and calls the function. `run` or the first task
starts the server, without waiting for it, and it ends when it is idle.

Linux only: on macOS, a fork can't use the system's libraries.
"""

from __future__ import annotations

from gaiaflow.warm.client import WarmTask, base, describe, launch, start

__all__ = ["WarmTask", "base", "describe", "launch", "start"]
