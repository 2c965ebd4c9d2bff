"""Change me: test your function. It needs neither Airflow nor an object store."""

import pytest

from my_package.change_me import change_me


@pytest.mark.parametrize(("red", "nir", "ndvi"), [(0.1, 0.3, 0.5), (0.2, 0.2, 0.0)])
def test_change_me(red: float, nir: float, ndvi: float) -> None:
    assert change_me(red, nir) == {"ndvi": ndvi}
