"""The estimator, and the hyper-parameters to search."""

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

ARCHITECTURE = "logistic regression"  # for the description of products

# From weak to strong fit. scikit-learn's names: step, two underscores, parameter.
SEARCH = {"logistic__C": [0.01, 0.1, 1.0, 10.0, 100.0]}


def make_classifier() -> Pipeline:
    """An untrained classifier of feature rows.

    With about a hundred samples, a linear model is as good as a forest. It is also small and
    fast, and gives probabilities.
    """
    return Pipeline([("scale", StandardScaler()), ("logistic", LogisticRegression(max_iter=1000))])
