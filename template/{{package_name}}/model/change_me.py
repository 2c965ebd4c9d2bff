"""Change me: define your model."""

from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression

FEATURES = ["red", "nir", "ndvi"]


def make_model() -> BaseEstimator:
    """An untrained model."""
    # Change: any estimator of scikit-learn, such as RandomForestClassifier(). For PyTorch and
    # others MLflow has a "flavor" each, see log_model.
    return LogisticRegression()
