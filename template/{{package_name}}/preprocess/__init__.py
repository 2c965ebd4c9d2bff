"""Check data before anything is learned from it, and turn it into features."""
