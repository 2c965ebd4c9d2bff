"""A Docker engine for the tests, and the images that they need: ``python -m tests.engine``."""
