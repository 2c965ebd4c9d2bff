#!/usr/bin/env python3
"""Run a Kubernetes cluster for this project alone: `python3 minikube_manager.py --help`.

Any Python from 3.11 on can run this file. It creates Airflow's environment if necessary, and
continues there because it has everything that the framework needs.
"""

import sys

if __name__ == "__main__":
    if sys.version_info < (3, 11):
        sys.exit("error: this needs Python 3.11 or newer, but this is " + sys.version.split()[0])

    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).resolve().parent))  # PYTHONSAFEPATH leaves it out
    try:
        from gaiaflow.bootstrap import enter_airflow_environment

        enter_airflow_environment(__file__)

        from gaiaflow.cli.minikube import main

        main()
    except (ImportError, SyntaxError) as error:  # half written, deleted, or in conflict
        sys.exit(
            "error: the framework can't be loaded: " + str(error) + ".\n"
            "See what has changed: git status gaiaflow, and: python3 mlops_manager.py status"
        )
