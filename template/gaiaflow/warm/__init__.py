"""Start tasks of mode `dev` without the seconds that imports take.

A server in the project's environment has imported the packages that the project uses. It forks for
every task: the fork imports the project's own code, and calls the function. Airflow starts the
server with the first task, which does not wait for it, and the server ends when it is idle.

Linux only: on macOS, a fork can't use the system's libraries.
"""

from __future__ import annotations

from gaiaflow.warm.client import WarmTask, start

__all__ = ["WarmTask", "start"]
