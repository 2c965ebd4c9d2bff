"""Change me: define your model."""

from sklearn.linear_model import LogisticRegression

FEATURES = ["red", "nir", "ndvi"]


def make_model() -> LogisticRegression:
    """An untrained model."""
    # Change: any estimator. For PyTorch and others MLflow has a "flavor" each, see log_model.
    return LogisticRegression()
