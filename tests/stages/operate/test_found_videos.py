"""Which files a person names: by themselves, by their folder, by a pattern."""

from pathlib import Path

from stages.operate.found_videos import find_videos


def test_files_folders_and_patterns_in_their_order_each_once(tmp_path: Path) -> None:
    for name in ("b.MP4", "a.avi", "in/c.mkv", "in/notes.txt", ".hidden/d.avi", "x[1].mov", "odd"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / "folder.avi").mkdir()

    def found(*names: str) -> list[str]:
        named = [tmp_path / name for name in names]
        return [path.relative_to(tmp_path).as_posix() for path in find_videos(named)]

    everything = ["a.avi", "b.MP4", "in/c.mkv", "x[1].mov"]
    assert found("") == everything
    assert found("b.MP4", "") == ["b.MP4", "a.avi", "in/c.mkv", "x[1].mov"]
    assert found("x[1].mov") == ["x[1].mov"]  # a file's own name is no pattern
    assert found("*.[am]*") == ["a.avi", "x[1].mov"]
    assert found("**/*.mkv") == ["in/c.mkv"]
    assert found("odd", "none.avi") == ["odd", "none.avi"]  # whoever reads them tells


def test_a_folder_or_a_pattern_without_videos_says_so_and_the_others_stay(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/notes.txt").touch()
    named = [tmp_path / "in", tmp_path / "*.mov", tmp_path / "a.avi"]
    reasons = ["no videos in this folder, nor below it", "no file fits this pattern", ""]
    assert find_videos(named) == dict(zip(named, reasons, strict=True))
