"""Copy a version of a model from one MLflow to another: `python -m gaiaflow.promotion`."""
