"""Change me: define your model."""

from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression

FEATURES = ["red", "nir", "ndvi"]


def make_model() -> BaseEstimator:
    """An untrained model."""
    # Change: any scikit-learn estimator, such as RandomForestClassifier(). For PyTorch and others,
    # use the log_model of their MLflow "flavor".
    return LogisticRegression()
