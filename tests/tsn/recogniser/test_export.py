"""An exported recogniser: the scores of the original, and a script that needs none of this."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from recognisers import CLASSES, FRAMES, INPUT_SIZE, STREAM_CONFIGS, write_recogniser
from videos import write_wandering

from stages.operate.export import Options, main
from tsn.modality import modality
from tsn.model.checkpoint import load_model
from tsn.recogniser import export
from tsn.snippets.normalise import normalise
from tsn.streams.video import read_frames

needs_packages = pytest.mark.skipif(
    bool(export.missing_packages()), reason=f"{export.missing_packages()} not installed"
)
WEIGHTS = {"rgb_diff": 0.7, "flow": 1.5}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recogniser in `toy`, and its export in `out`."""
    folder = tmp_path_factory.mktemp("export")
    write_recogniser(folder / "toy", weights=WEIGHTS)
    told = dict(export.export_streams(folder / "toy", folder / "out"))
    assert list(told) == list(WEIGHTS) and max(told.values()) < 1e-4
    return folder


@needs_packages
@pytest.mark.slow
def test_the_networks_give_their_scores_of_any_number_of_snippets(exported: Path) -> None:
    import onnxruntime

    about = json.loads((exported / "out/recogniser.json").read_text())
    assert about["classes"] == list(CLASSES)
    for name, channels in {"rgb_diff": 18, "flow": 10}.items():
        stream = about["streams"][name]
        assert stream["weight"] == WEIGHTS[name]
        assert stream["made"]["width"] == STREAM_CONFIGS[name].width
        network, _ = load_model(exported / "toy" / name)
        session = onnxruntime.InferenceSession(exported / "out" / stream["file"])
        snippets = np.random.default_rng(1).integers(
            0, 256, (5, channels, INPUT_SIZE, INPUT_SIZE), np.uint8
        )
        values = normalise(torch.from_numpy(snippets), modality(name), network.row.inputs)
        with torch.inference_mode():
            expected = network.snippet_scores(values).numpy()
        (found,) = session.run(None, {"snippets": snippets})
        np.testing.assert_allclose(found, expected, atol=1e-4)


@needs_packages
@pytest.mark.slow
def test_the_script_runs_them_without_the_project(exported: Path, tmp_path: Path) -> None:
    """Its scores are those of the network on the frames as they are decoded, of the middle crop."""
    video = write_wandering(tmp_path / "clip.avi", 9)
    network, _ = load_model(exported / "toy/rgb_diff")
    frames = list(read_frames(video, FRAMES.width, FRAMES.height))
    left, top = (FRAMES.width - INPUT_SIZE) // 2, (FRAMES.height - INPUT_SIZE) // 2
    snippets = [np.concatenate(frames[start : start + 6], axis=2) for start in (0, 3)]
    cut = np.stack(snippets)[:, top : top + INPUT_SIZE, left : left + INPUT_SIZE]
    values = torch.from_numpy(cut.transpose(0, 3, 1, 2).copy())
    with torch.inference_mode():
        inputs = normalise(values, modality("rgb_diff"), network.row.inputs)
        scores = 0.7 * network.snippet_scores(inputs).mean(dim=0)
    expected = dict(zip(CLASSES, scores.tolist(), strict=True))
    done = subprocess.run(
        [sys.executable, "-P", str(exported / "out/run.py"), str(video)],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    lines = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
    assert [name for _, name in lines] == sorted(expected, key=expected.__getitem__, reverse=True)
    for score, name in lines:
        assert float(score) == pytest.approx(expected[name], rel=1e-2)


@needs_packages
@pytest.mark.slow
def test_the_script_refuses_what_is_no_video_and_too_few_frames(
    exported: Path, tmp_path: Path
) -> None:
    short, text = write_wandering(tmp_path / "short.avi", 3), tmp_path / "text.avi"
    text.write_text("no video")
    for video, count in ((short, 3), (text, 0)):
        done = subprocess.run(
            [sys.executable, "-P", str(exported / "out/run.py"), str(video)],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 1 and not done.stdout
        said = done.stderr.splitlines()[-1]
        assert said == f"{video}: {count} frames can be read, a snippet takes 6"


@needs_packages
@pytest.mark.slow
def test_flow_alone_has_no_script(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "run.py").touch()  # of an export of all
    options = Options(model=str(exported / "toy"), out=out, modalities=("flow",))
    main(options)
    assert sorted(path.name for path in out.iterdir()) == ["flow.onnx", "recogniser.json"]
    assert capsys.readouterr().out.splitlines()[-1].startswith(f"{out}: no stream of frames")


@needs_packages
def test_a_recogniser_is_not_written_over(tmp_path: Path) -> None:
    write_recogniser(tmp_path / "toy", weights={"rgb": 1.0})
    before = (tmp_path / "toy/recogniser.json").read_bytes()
    with pytest.raises(ValueError, match="a recogniser is there"):
        list(export.export_streams(tmp_path / "toy", tmp_path / "toy"))
    assert (tmp_path / "toy/recogniser.json").read_bytes() == before


@needs_packages
@pytest.mark.slow
def test_an_export_that_differs_is_refused(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "TOLERANCE", -1.0)
    with pytest.raises(ValueError, match="flow: the scores of the ONNX network differ by"):
        list(export.export_streams(exported / "toy", tmp_path / "out", ["flow"]))
    assert not list((tmp_path / "out").glob("*"))


def test_without_the_packages_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "PACKAGES", ("onnx_of_nowhere",))
    with pytest.raises(ValueError, match="pip install onnx_of_nowhere"):
        list(export.export_streams(tmp_path / "toy", tmp_path / "out"))
