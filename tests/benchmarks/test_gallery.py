"""The pictures of the gallery and of explanation: they are there, small, and made by what the page prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import doc_figures, gallery
from tests.profile import thorough

PICTURES = gallery.PAGE.parent / "pictures"
MOST = 1_500_000  # bytes of all pictures


def test_each_picture_has_a_command_and_each_file_a_use():
    names = [name for block in gallery.blocks() for name in block.pictures]
    assert len(names) == len(set(names)) > 15
    kept = {path.stem for path in PICTURES.iterdir()}
    assert kept == {*names, *doc_figures.FIGURES}
    assert sum(path.stat().st_size for path in PICTURES.iterdir()) < MOST


def test_where_a_picture_is_taken_from():
    files = {
        Path(name) for name in ("a/time-digits.png", "a/timeline-x.png", "v/timeline.png", "v/page.html")
    }
    files |= {Path("a/ranks-score-few.png"), Path("a/ranks-area-all-settings.png")}
    for name, found in (
        ("time", "time-digits.png"),
        ("timeline", "timeline.png"),
        ("v-timeline", "timeline.png"),
        ("page", "page.html"),
        ("ranks", "ranks-area-all-settings.png"),
    ):
        assert gallery.source(name, files).name == found
    with pytest.raises(FileNotFoundError, match=r"no gone\.png"):
        gallery.source("gone", files)


def test_the_walk_of_the_figure_is_the_one_of_its_page():
    page = (gallery.PAGE.parent / "explanation" / "how-it-works.md").read_text("utf-8")
    reports = list(doc_figures.walk())[-1][1]
    assert " ".join(f"{trial}@{level}" for trial, level in reports) in page
    assert doc_figures.rungs().to_dict()
    assert doc_figures.rooms().to_dict()


def test_the_rooms_of_the_figure_are_there():
    names = [name for row in doc_figures.ROOMS for name, _ in row]
    assert [name for name in names if not (gallery.ROOT / name).is_dir()] == []


@thorough
def test_the_blocks_of_the_gallery_write_its_pictures(tmp_path: Path):
    (tmp_path / "examples").symlink_to(gallery.ROOT / "examples")
    known: set[Path] = set()
    for block in gallery.blocks():
        gallery.run(block, tmp_path)
        files = {path for path in tmp_path.rglob("*") if path.suffix in (".png", ".html")}
        assert all(gallery.source(name, files - known) for name in block.pictures)
        known = files
