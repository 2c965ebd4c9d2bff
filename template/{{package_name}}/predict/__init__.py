"""Apply a trained model to new data."""
