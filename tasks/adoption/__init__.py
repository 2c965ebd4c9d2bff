"""Bring an existing repository under the template: what `tasks/adopt.py` is made of."""
