"""The table of sources: each yields the ids of the videos it writes."""

from dataclasses import replace
from pathlib import Path

import pytest
import small_configs

from tsn.sources.csv_file import CsvConfig
from tsn.sources.distribution import ArchivesConfig
from tsn.sources.download import no_report
from tsn.sources.folder import FolderConfig, folder_videos
from tsn.sources.table import SOURCES

SYNTHETIC = replace(small_configs.SYNTHETIC, seed=1, frames=6, width=64, height=64, pan_share=0.0)


@pytest.mark.parametrize("kind", SOURCES)
def test_every_source_yields_the_videos_it_writes(tmp_path: Path, kind: str) -> None:
    for path in ("videos/A/a.mp4", "lists/list.txt"):
        source = tmp_path / "in" / path
        source.parent.mkdir(parents=True)
        source.write_bytes(b"abc")
    configs = {
        "synthetic": SYNTHETIC,
        "folder": FolderConfig(videos=str(tmp_path / "in/videos"), lists=None),
        "csv": CsvConfig(file=str(tmp_path / "in/own.csv"), root=str(tmp_path / "in")),
        "archives": ArchivesConfig(folder=str(tmp_path / "in"), videos=(), lists=()),
    }
    (tmp_path / "in/own.csv").write_text("path,label\nvideos/A/a.mp4,A\n")
    row = SOURCES[kind]
    assert isinstance(configs[kind], row.config)
    videos = list(row.fetch(configs[kind], tmp_path / "videos", tmp_path / "lists", no_report))
    assert sorted(videos) == folder_videos(tmp_path / "videos")
    assert (tmp_path / "lists").is_dir()
