#!/usr/bin/env python3
"""Start, stop and use the services of this project: `python3 mlops_manager.py --help`.

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

        main()
    except (ImportError, SyntaxError) as error:  # half written, deleted, or in conflict
        # No f-string, nor annotations: an old Python has to read as far as the check above.
        what = str(error)
        if isinstance(error, SyntaxError):
            what = str(error.filename) + ", line " + str(error.lineno) + ": " + error.msg
        elif not (error.name or "").startswith("gaiaflow"):
            sys.exit(
                "error: " + what + ".\n"
                "Airflow's environment is incomplete. The next command makes it again after:\n"
                "    rm -r .gaiaflow/airflow    # your data is elsewhere"
            )
        advice = (
            "A part of the framework is missing or can't be read. See what has changed:\n"
            "    git status gaiaflow    # git checkout -- FILE brings back what is deleted\n"
            "If an update left a conflict, resolve it and `git add` the file."
        )
        if (Path(__file__).resolve().parent / ".gaiaflow" / "update" / "undo.py").exists():
            advice += " Or undo the update:\n    python3 .gaiaflow/update/undo.py"
        sys.exit("error: " + what + ".\n" + advice)
