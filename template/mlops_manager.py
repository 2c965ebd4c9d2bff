#!/usr/bin/env python3
"""Start, stop and use the services of this project: `python3 mlops_manager.py --help`.

Any Python from 3.10 on can run this file. It makes Airflow's environment if there is none, and
goes on in it, where everything that the framework needs is installed.
"""

import sys

if __name__ == "__main__":
    if sys.version_info < (3, 10):
        sys.exit("error: this needs Python 3.10 or newer, and this is " + sys.version.split()[0])

    try:
        from gaiaflow.bootstrap import enter_airflow_environment

        enter_airflow_environment(__file__)

        from gaiaflow.commands import main
    except SyntaxError as error:  # as by the markers of a conflict
        # No f-string, nor annotations: an old Python has to read as far as the check above.
        where = str(error.filename) + ", line " + str(error.lineno)
        sys.exit(
            "error: " + where + ": " + error.msg + ".\n"
            "If an update left a conflict there, resolve it and `git add` the file, or go back:\n"
            "    python3 .gaiaflow/update/undo.py"
        )

    main()
