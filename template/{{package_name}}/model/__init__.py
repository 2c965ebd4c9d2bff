"""Define what is trained: the estimator and its classes."""
