"""A Minikube of this project alone, behind `minikube_manager.py`."""
