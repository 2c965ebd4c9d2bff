"""Tests with real services: a project as a user makes it, its commands as a user types them."""
