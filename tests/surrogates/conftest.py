"""Files of YAHPO, made here and published; and fits that cost little."""

from pathlib import Path

import pytest

from hbsim.surrogates import fit_outcomes, fit_regression
from tests.doubles.yahpo import Double
from tests.profile import THOROUGH

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


@pytest.fixture(scope="module")
def small_forests():
    """Let the forests of fits have few trees, unless tests are thorough: most of a fit's time is theirs."""
    with pytest.MonkeyPatch.context() as patch:
        if not THOROUGH:
            patch.setattr(fit_regression, "TREES", 15)
            patch.setattr(fit_outcomes, "TREES", 15)
        yield
