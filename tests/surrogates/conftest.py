"""YAHPO's files, made here and published."""

from pathlib import Path

import pytest

from tests.doubles.yahpo import Double

PUBLISHED = Path(__file__).parents[2].parent / "shared" / "data" / "yahpo_lcbench"


@pytest.fixture(scope="session")
def yahpo_data(tmp_path_factory):
    """Return a data path that holds a tiny network as lcbench."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    folder = tmp_path_factory.mktemp("yahpo_data")
    Double().write(folder / "lcbench")
    return folder


@pytest.fixture
def yahpo_published():
    """Return the folder of the published files, where somebody has put them beside the repository."""
    pytest.importorskip("onnxruntime")
    if not (PUBLISHED / "model.onnx").is_file():
        pytest.skip("no ../shared/data/yahpo_lcbench beside the repository")
    return PUBLISHED


@pytest.fixture
def no_yahpo_settings(monkeypatch, tmp_path):
    """Keep what the machine says of YAHPO's files out of a test."""
    monkeypatch.delenv("HBSIM_YAHPO_DATA", raising=False)
    monkeypatch.setenv("YAHPO_LOCAL_CONFIG", str(tmp_path / "no_settings"))
