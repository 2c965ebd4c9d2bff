"""0.4.1: line ends are the same on all computers; who has a .gitattributes keeps what is in it."""

from tasks.migrations import Joined

MIGRATION = [
    Joined(".gitattributes"),
]
