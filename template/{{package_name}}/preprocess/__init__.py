"""Check data before training, and turn it into features."""
