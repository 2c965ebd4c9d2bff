"""This project's own Minikube cluster, managed by `minikube_manager.py`."""
