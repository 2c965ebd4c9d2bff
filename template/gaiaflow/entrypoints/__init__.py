"""Programs that services and containers run with `python -m`."""
