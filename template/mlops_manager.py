#!/usr/bin/env python3
"""Start, stop and use this project's services: `python3 mlops_manager.py --help`.

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

        from gaiaflow.cli.mlops import main

        main()
    except (ImportError, SyntaxError) as error:  # half written, deleted, or in conflict
        # No f-strings or annotations: old Pythons must reach the check above.
        what = str(error)
        if isinstance(error, SyntaxError):
            what = str(error.filename) + ", line " + str(error.lineno) + ": " + error.msg
        elif not (error.name or "").startswith("gaiaflow"):
            sys.exit(
                "error: " + what + ".\n"
                "Airflow's environment is incomplete. Remove it; the next command recreates it:\n"
                "    rm -r .gaiaflow/airflow    # your data is elsewhere"
            )
        advice = (
            "Part of the framework is missing or unreadable. See what has changed:\n"
            "    git status gaiaflow    # git checkout -- FILE restores a deleted file\n"
            "If an update left a conflict, resolve it and `git add` the file."
        )
        if (Path(__file__).resolve().parent / ".gaiaflow" / "update" / "undo.py").exists():
            advice += " Or undo the update:\n    python3 .gaiaflow/update/undo.py"
        sys.exit("error: " + what + ".\n" + advice)
