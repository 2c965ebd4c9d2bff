"""Run a notebook from top to bottom, as JupyterLab would. Prints how many cells it has, as JSON.

Usage: notebook.py ROOT NAME
"""

import json
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

path = Path(sys.argv[1], "notebooks", sys.argv[2])
notebook = nbformat.read(path, as_version=4)
folder = {"metadata": {"path": str(path.parent)}}
NotebookClient(notebook, timeout=300, kernel_name="python3", resources=folder).execute()
print(json.dumps(len(notebook.cells)))
