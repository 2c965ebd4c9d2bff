"""`python -m gaiaflow` is another way to call `mlops_manager.py`."""

import runpy
from pathlib import Path

if __name__ == "__main__":
    manager = Path(__file__).resolve().parent.parent / "mlops_manager.py"
    runpy.run_path(str(manager), run_name="__main__")
