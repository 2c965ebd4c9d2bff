"""Tests of the services as containers, on a real engine; see conftest.py."""
