"""Products and models are valid by the schemas of STAC's extensions, which are on the web.

Only with GAIAFLOW_TEST_SCHEMAS set: .github/workflows/weekly.yml runs it.
"""

from __future__ import annotations

from pathlib import Path

from gaiaflow.rasters import Grid

from .test_products import UTM, described, modelled


def test_schemas(tmp_path: Path) -> None:
    import pystac

    nowhere = Grid(None, UTM.transform, 30, 20)
    for item in (described("map"), described("nowhere", nowhere), modelled(tmp_path)):
        pystac.Item.from_dict(item).validate()
