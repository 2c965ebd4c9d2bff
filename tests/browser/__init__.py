"""The pages of a running project, in a real browser."""

import pytest

pytest.register_assert_rewrite("tests.browser.checks")
