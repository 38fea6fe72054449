"""The examples of CONTRIBUTING: a row each, and a network and a recipe that are made of them."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from workspace import ROOT, warm

USE = """
from dataclasses import replace
import numpy as np, torch
from small_configs import NETWORK
from tsn.modality import modality
from tsn.model.initialisation import Source, Start, initialise
from tsn.model.network import build_network
from tsn.snippets.normalise import normalise
from tsn.streams.table import STREAMS

row = modality("rgb_stack")
assert row.channels == 9 and row.stream in STREAMS
config = replace(NETWORK, backbone="resnet34", consensus="top_two")
generator = torch.Generator().manual_seed(1)
network = build_network(config, in_channels=row.channels, num_classes=4, generator=generator)
rgb = build_network(config, in_channels=3, num_classes=4, generator=generator)
sources = {"rgb": Source(backbone=rgb.backbone.state_dict())}
start = Start(
    network=network, dataset="d", modality=row.name, classes=tuple("abcd"), sources=sources
)
initialise("cross_modality", start)
snippets = torch.randint(0, 256, (2, 3, 9, 64, 64), dtype=torch.uint8, generator=generator)
inputs = normalise(snippets, row, network.row.inputs)
scores = network(inputs)
assert scores.shape == (2, 4)
network.eval()
single = torch.stack([network.snippet_scores(video) for video in inputs])
by_hand = single.sort(dim=1).values[:, -2:].mean(1)
torch.testing.assert_close(network(inputs), by_hand)
scores.sum().backward()
assert all(p.grad is not None for p in network.parameters() if p.requires_grad)

import json, os, sys
from pathlib import Path
from ruamel.yaml import YAML
from stages.operate import check

os.chdir(sys.argv[1])
yaml, files = YAML(typ="safe"), (Path("recipes/mine.yaml"), Path("params.yaml"))
recipe, params = map(yaml.load, files)
recipe["init"]["pretext"]["backbone"] = "resnet34"
recipe["extract"]["rgb_stack"] = recipe["extract"]["rgb"]
train = recipe["train"]["rgb"]
train["network"] |= {"backbone": "resnet34", "consensus": "top_two"}
recipe["train"] = {"rgb": train, "rgb_stack": train | {"initialisation": "cross_modality"}}
params |= {"datasets": ["mine"], "modalities": ["rgb", "rgb_stack"]}
for path, content in zip(files, (recipe, params)):
    path.write_text(json.dumps(content))
check.main(check.Options())
print("used")
"""


def test_examples_of_new_rows_run(tmp_path: Path) -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert len(examples) == 3
    (tmp_path / "examples_run.py").write_text("\n".join([*examples, USE]))
    (tmp_path / "recipes").mkdir()
    shutil.copy(ROOT / "recipes/synthetic.yaml", tmp_path / "recipes/mine.yaml")
    shutil.copy(ROOT / "params.yaml", tmp_path)
    path = os.pathsep.join(map(str, (tmp_path, ROOT, ROOT / "tests")))
    done = subprocess.run(
        [warm() / "python", "-m", "examples_run", tmp_path],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout == "used\n", done.stderr
