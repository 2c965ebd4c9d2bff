"""0.4.1: line endings are the same on all computers; an existing .gitattributes is kept."""

from tasks.migrations import Joined

MIGRATION = [
    Joined(".gitattributes"),
]
