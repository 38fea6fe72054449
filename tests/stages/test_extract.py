"""What the extract stage says of its work."""

from pathlib import Path

from stages.extract import summary, write_quarantine
from tsn.streams.archives import OK, QUARANTINED, ManifestRow
from tsn.streams.extraction import Extracted


def record(
    video: str, entries: int, missing: int = 0, reason: str = "", **counts: int
) -> Extracted:
    row = ManifestRow(
        video=video,
        entries=entries,
        missing=missing,
        width=8,
        height=8,
        status=QUARANTINED if reason else OK,
        reason=reason,
        key="k",
    )
    return Extracted(row=row, from_store=False, num_unsupported=counts.get("num_unsupported", 0))


def test_nothing_out_of_the_ordinary_is_one_line() -> None:
    assert summary("extract a flow", [record("x", 9), record("y", 3)]) == (
        "extract a flow: 2 videos, 12 entries, 0 from the store"
    )


def test_short_and_set_aside_videos_and_kept_camera_motion_are_told() -> None:
    records = [
        record("long", 90, missing=10),
        record("short", 8, missing=2, num_unsupported=7),
        record("bad", 0, missing=5, reason="damaged video"),
    ]
    assert summary("extract a flow", records).splitlines() == [
        "extract a flow: 2 videos, 98 entries, 0 from the store",
        "  7 of 98 pairs (7.1%) kept their camera motion: no homography was found",
        "  2 videos have fewer frames than their files count, most of all short: 2 are missing",
        "  quarantined bad: damaged video",
    ]


def test_the_quarantine_is_sorted_and_holds_no_other_video(tmp_path: Path) -> None:
    records = [
        record("b, 2", 0, reason='not "a" video'),
        record("c", 9),
        record("a", 0, reason="x"),
    ]
    write_quarantine(tmp_path / "q/flow.csv", records)
    text = (tmp_path / "q/flow.csv").read_text()
    assert text.splitlines() == ["video,reason", "a,x", '"b, 2","not ""a"" video"']
