"""The estimator, and the hyper-parameters to search."""

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

# Weak to strong fit. The names are scikit-learn's: step, two underscores, parameter.
SEARCH = {"logistic__C": [0.01, 0.1, 1.0, 10.0, 100.0]}


def make_classifier() -> Pipeline:
    """An untrained classifier of feature rows.

    With about a hundred samples a linear model is as good as a forest, and it is small, fast
    and gives probabilities.
    """
    return Pipeline([("scale", StandardScaler()), ("logistic", LogisticRegression(max_iter=1000))])
