"""Small helpers that every stage may use."""
