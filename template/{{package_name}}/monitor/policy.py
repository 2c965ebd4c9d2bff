"""What counts as a change, and when it starts a training.

Raise limits that alarm for nothing, lower those that alarm too late.
"""

from datetime import timedelta

from gaiaflow.monitoring import Limits

# Pairs: from where on it is a warning, and from where on it is drift. See the docstring of Limits.
LIMITS = Limits()
FAILED = (0.02, 0.1)  # share of requests (0..1)
DURATION_MS = (1_000.0, 5_000.0)  # that 95 % of the requests stay below

COOL_DOWN = timedelta(hours=12)  # between two trainings that drift has started
ATTEMPTS = 2  # after so many that haven't helped, it takes a person
