"""Define what is trained: the estimator and what it tells apart."""
