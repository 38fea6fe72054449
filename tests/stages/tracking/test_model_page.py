"""The page of a served recogniser, in a browser: a real upload, what it shows, what it refuses."""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from encoded import encode
from recognisers import CLASSES, write_recogniser
from served import serve, served_recogniser
from toy_grid import wait_until
from videos import vivid_frames

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on the PATH"),
]


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    write_recogniser(tmp_path / "bundle/toy", weights={"rgb": 1.0, "flow": 1.5})
    app = serve(served_recogniser(tmp_path / "bundle/toy")).app
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_until(lambda: server.started, "a server")
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    server.should_exit = True
    thread.join()


@pytest.fixture
def page(address: str) -> Iterator[Any]:
    """The page, at the width of a phone; that it had no error is asserted in the end."""
    errors: list[str] = []
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 390, "height": 844})
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: errors.extend(_elsewhere(request.url, address)))
        page.goto(address)
        yield page
        browser.close()
    assert errors == []


def _elsewhere(url: str, address: str) -> list[str]:
    return [] if url.startswith((address, "data:", f"blob:{address}")) else [url]


def test_a_video_is_put_there_and_recognised(page: Any, tmp_path: Path) -> None:
    clip = encode(tmp_path / "clip.mp4", vivid_frames(20, 96, 64), "mp4", "mpeg4")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
    chooser.value.set_files(clip)
    page.wait_for_selector("#result:not([hidden])")
    label = page.inner_text("#label")
    assert label in CLASSES
    rows = page.locator("#top li").all_inner_texts()
    assert len(rows) == len(CLASSES) and rows[0].startswith(label)
    assert page.locator("#strip polyline").count() == len(CLASSES)
    for picture in ("frame", "flow"):
        assert page.evaluate(f"document.getElementById('{picture}').naturalWidth") > 0
    page.focus("#strip")
    page.keyboard.press("End")
    assert page.inner_text("#here").startswith("At ")
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_an_error_is_one_line_and_the_next_video_is_taken(page: Any, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no video")
    (tmp_path / "large.avi").write_bytes(bytes(1_100_000))
    clip = encode(tmp_path / "clip.mp4", vivid_frames(20, 96, 64), "mp4", "mpeg4")
    for files, message in (
        ([tmp_path / "notes.txt"], "notes.txt: not a video file: it holds text"),
        ([tmp_path / "large.avi"], "large.avi has 1 MB; the server takes 1 MB."),
    ):
        page.set_input_files("#file", files)
        told = page.get_by_role("alert").filter(has_text=files[0].name)
        told.wait_for()
        assert told.inner_text() == message
    page.evaluate(
        """() => {
          const files = new DataTransfer();
          for (const name of ["a", "b"]) files.items.add(new File(["x"], name));
          dispatchEvent(new DragEvent("drop", { dataTransfer: files, cancelable: true }));
        }"""
    )
    assert page.inner_text("#error").startswith("One video at a time")
    page.set_input_files("#file", clip)
    page.wait_for_selector("#result:not([hidden])")
    assert page.is_hidden("#error") and page.is_hidden("#busy")
