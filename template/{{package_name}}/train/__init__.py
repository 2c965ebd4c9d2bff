"""Train, evaluate and register models with MLflow."""
