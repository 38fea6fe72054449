"""Names as HMDB51's and worse, of clips and classes, through the whole chain and into MLflow."""

import csv
import html
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from ruamel.yaml import YAML
from videos import vivid_frames, write_video
from workspace import ROOT, copy_project, dvc, run_stage, runs_of, shrink_recipe

from tsn.lists import read_list, read_names
from tsn.scoring.scores import load_scores

MODALITIES = ["rgb_diff", "flow"]
CLASSES = ("100% #1 (a+b) [x]", "März & Co., l'été", "US$ 5_brush hair_$10")
CLIPS = (
    "#122_Fencing_4_fence_u_cm_np1_ri_med_2.avi",
    "Best!_(of)_[all]~times;&more_@home+1.avi",
    'it\'s "quoted", 50%25 {b} ^ `c` $HOME $(d).avi',
    "-o --help = ünï_çødé_剣道_ё.avi",
    "two  spaces <i>&amp; | * ? : \\ .part.avi",
    "@list.avi",
)
BROKEN = f"{CLASSES[0]}/it's [cut], 100%;.avi"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chain after `dvc repro` on clips of such names, listed as HMDB51 lists its own."""
    folder = tmp_path_factory.mktemp("odd")
    copy_project(ROOT, folder)
    write_dataset(folder / "inbox")
    write_recipe(folder)
    assert dvc(folder, "config", "--local", "core.no_scm", "true").returncode == 0
    done = dvc(folder, "repro")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder


def write_dataset(inbox: Path) -> None:
    """Every clip in every class; what split 1 trains on, split 2 tests."""
    (inbox / "lists").mkdir(parents=True)
    frames = vivid_frames(8 * len(CLASSES) * len(CLIPS), 64, 48)
    for label, name in enumerate(CLASSES):
        (inbox / "videos" / name).mkdir(parents=True)
        for clip in CLIPS:
            shown, frames = frames[:8], frames[8:]
            # OpenCV takes a % of a name for the place of a number.
            write_video(inbox / "plain.avi", shown, "MJPG")
            (inbox / "plain.avi").rename(inbox / "videos" / name / clip)
        for split in (1, 2):
            lines = [f"{clip} {1 + (i + label + split) % 2}" for i, clip in enumerate(CLIPS)]
            lines += [f"{Path(BROKEN).name} 1"] if BROKEN.startswith(name) else []
            text = "".join(f"{line} \n" for line in lines)
            (inbox / f"lists/{name}_test_split{split}.txt").write_text(text, encoding="utf-8")
    (inbox / "videos" / BROKEN).write_bytes(b"RIFF, and no more")


def clips_tested(split: int) -> list[str]:
    """The test list of `write_dataset`: in each class the other half than in the class before."""
    return [
        f"{name}/{clip}"
        for label, name in enumerate(CLASSES)
        for clip in CLIPS[(label + split + 1) % 2 :: 2]
    ]


def write_recipe(folder: Path) -> None:
    yaml = YAML()
    content = yaml.load(folder / "params.yaml")
    content.update(datasets=["odd"], splits=[1], modalities=MODALITIES)
    content["machine"].update(device="cpu", workers=1, threads=1)
    yaml.dump(content, folder / "params.yaml")
    recipe = yaml.load(folder / "recipes/synthetic.yaml")
    recipe["source"] = {"folder": {"videos": "inbox/videos", "lists": "inbox/lists"}}
    recipe["split"].update(format="hmdb51", group_pattern=None, splits=2)
    recipe["accept"]["max_quarantined"] = 1
    shrink_recipe(recipe, MODALITIES)
    yaml.dump(recipe, folder / "recipes/odd.yaml")


def test_every_list_and_score_has_the_original_names(workspace: Path) -> None:
    data = workspace / "data/odd"
    assert read_names(data / "splits/classes.txt") == CLASSES
    everything = sorted([f"{name}/{clip}" for name in CLASSES for clip in CLIPS] + [BROKEN])
    assert list(read_names(data / "splits/videos.txt")) == everything
    for split in (1, 2):
        listed = [row.video for row in read_list(data / f"splits/{split}/test.csv")]
        assert listed == clips_tested(split)
        for modality in MODALITIES:
            assert (data / modality / f"{listed[0]}.zip").is_file()
    for modality in MODALITIES:
        scores = load_scores(workspace / f"scores/odd/1/{modality}.npz")
        assert (scores.videos, scores.classes) == (tuple(clips_tested(1)), CLASSES)
        assert np.isfinite(scores.scores).all()
    with (workspace / "plots/odd/1/confusion.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["video"] for row in rows] == clips_tested(1)
    assert {row["actual"] for row in rows} == set(CLASSES)


def test_the_page_names_what_was_set_aside_and_by_whom(workspace: Path) -> None:
    page = (workspace / "reports/odd/index.html").read_text(encoding="utf-8")
    row = page[page.index("<h3>Set aside</h3>") :].split("</tr>")[1]
    cells = [html.unescape(cell.split("</td>")[0]) for cell in row.split("<td>")[1:]]
    assert cells[:2] == [BROKEN, "split, rgb_diff, flow"]
    assert "not a" in cells[2]


def test_mlflow_has_every_run_with_its_params_and_files(workspace: Path) -> None:
    store = f"sqlite:///{workspace / 'mlflow.db'}"
    runs = runs_of(store, "odd")
    counts = {part: len(found) for part, found in runs.items()}
    fused = {"fuse": 1, "report": 1, "package": 1}
    assert counts == {"pretrain": 1, "baseline": 1, "cell": 2, **fused}
    client = MlflowClient(store)
    for run in runs["cell"]:
        assert run.info.status == "FINISHED"
        assert run.data.tags["dataset"] == "odd"
        assert run.data.params["train.solver.iterations"] == "2"
        assert "test/top1" in run.data.metrics
        files = {file.path for file in client.list_artifacts(run.info.run_id)}
        assert files >= {"inputs.png", "weights.json"}
    (report,) = runs["report"]
    page = Path(client.download_artifacts(report.info.run_id, "report/index.html"))
    assert page.read_bytes() == (workspace / "reports/odd/index.html").read_bytes()


def test_nothing_is_run_again_or_missing_from_mlflow(workspace: Path) -> None:
    assert dvc(workspace, "status").stdout.strip() == "Data and pipelines are up to date."
    done = run_stage(workspace, "operate.sync")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
