"""The parts of `tasks/adopt.py`, which brings an existing repository under the template."""
