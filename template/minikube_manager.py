#!/usr/bin/env python3
"""Run a Kubernetes cluster of this project alone: `python3 minikube_manager.py --help`.

Any Python from 3.10 on can run this file. It makes Airflow's environment if there is none, and
goes on in it, where everything that the framework needs is installed.
"""

import sys

if __name__ == "__main__":
    if sys.version_info < (3, 10):
        sys.exit("error: this needs Python 3.10 or newer, and this is " + sys.version.split()[0])

    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).resolve().parent))  # with PYTHONSAFEPATH it is not there
    try:
        from gaiaflow.bootstrap import enter_airflow_environment

        enter_airflow_environment(__file__)

        from gaiaflow.commands import main
        from gaiaflow.minikube.commands import MinikubeManager

        main(MinikubeManager)
    except (ImportError, SyntaxError) as error:  # half written, deleted, or in conflict
        sys.exit(
            "error: the framework can't be used: " + str(error) + ".\n"
            "What helps: git status gaiaflow, and: python3 mlops_manager.py status"
        )
