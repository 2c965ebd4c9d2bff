"""The project: its identity, settings, paths and environments.

Standard library only.
"""
