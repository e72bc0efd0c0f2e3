"""A browser without a window, one for each module of tests."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.bench.report.browser import Browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    pytest.importorskip("selenium", reason="needs selenium")
    driver = shutil.which("chromedriver")
    binary = shutil.which("chromium") or shutil.which("google-chrome")
    if driver is None or binary is None:
        pytest.skip("needs Chromium and its driver: apt-get install chromium chromium-driver")
    opened = Browser(driver, binary, tmp_path_factory.mktemp("page"))
    yield opened
    opened.quit()
