"""dvc.yaml against the code: a stage depends on the modules it imports, and on no other."""

import dataclasses
import importlib
import itertools
import json
import re
import shlex
import subprocess
import sys
from typing import Any

import grimp
import pytest
from ruamel.yaml import YAML
from workspace import ROOT

from stages.reporting.results import CONFUSION_TABLE, PER_CLASS_TABLE
from stages.runtime import options
from stages.runtime.options import StageOptions
from stages.runtime.places import DatasetPaths
from stages.runtime.provenance import NEUTRAL_MODULES

# Inputs that the command of a stage does not name, and why.
UNNAMED = {
    "data/selection.json",  # written when params.yaml can be run at all
    "data/${item.dataset}/checked.json",  # written when the recipe can be run at all
    "additions",  # the folder above the one that is named: that one need not be there
}
CHECKS = ["selection", "check"]  # before the first of the verbs
READERS = [  # what processes that read videos load
    "tsn.recogniser.video_readers",
    "tsn.recogniser.dense_read",
    "tsn.untrimmed.cut",
]
LIGHT = ["download", "split", "extract", "look", "operate.check"]
PROGRAMS = ["compare", "ingest", "sync"]  # run by flows, beside the stages


def load_stages() -> dict[str, dict[str, Any]]:
    return dict(YAML(typ="safe", pure=True).load(ROOT / "dvc.yaml")["stages"])


STAGES = load_stages()


def module_of(stage: str) -> str:
    """Return the program of a stage, as its command names it."""
    assert words_of(stage)[:2] == ["python", "-m"]
    return words_of(stage)[2]


def words_of(stage: str) -> list[str]:
    return shlex.split(STAGES[stage]["cmd"])


def options_of(stage: str) -> type[StageOptions]:
    found: type[StageOptions] = importlib.import_module(module_of(stage)).Options
    return found


def paths(entries: list[Any]) -> set[str]:
    """Return the paths of deps or outs, where an entry is a path or {path: options}."""
    return {path for entry in entries for path in ([entry] if isinstance(entry, str) else entry)}


def outputs_of(row: Any) -> set[str]:
    return {path for kind in ("outs", "metrics", "plots") for path in paths(row.get(kind, []))}


def code_of(stage: str) -> set[str]:
    """Return the code among the deps of a stage, as files and folders."""
    return {p for p in paths(STAGES[stage]["deps"]) if p.split("/")[0] in ("stages", "tsn")}


def inputs_of(stage: str) -> set[str]:
    return paths(STAGES[stage]["deps"]) - code_of(stage)


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    return grimp.build_graph("tsn", "stages", cache_dir=None, exclude_type_checking_imports=True)


def test_stages_are_the_verbs() -> None:
    verbs = {path.stem for path in (ROOT / "stages").glob("*.py")} - {"__init__"}
    assert verbs == set(STAGES) - set(CHECKS)
    assert all(module_of(check) == f"stages.operate.{check}" for check in CHECKS)
    assert all(module_of(verb) == f"stages.{verb}" for verb in verbs)


@pytest.mark.parametrize("stage", STAGES)
def test_stage_depends_on_exactly_the_modules_it_imports(
    imports: grimp.ImportGraph, stage: str
) -> None:
    module = module_of(stage)
    imported = {module, *imports.find_upstream_modules(module)} - NEUTRAL_MODULES
    files = {f"{name.replace('.', '/')}.py" for name in imported}
    expected = {file for file in files if (ROOT / file).is_file()}  # a package has no code
    listed = {path for path in code_of(stage) if path.endswith(".py")}
    for folder in code_of(stage) - listed:
        if (ROOT / folder).is_dir():
            inside = {str(p.relative_to(ROOT)) for p in (ROOT / folder).rglob("*.py")}
            listed |= {path for path in inside if not path.endswith("__init__.py")}
    idle = set() if stage == "check" else listed - expected  # no result comes of it
    assert {"missing": sorted(expected - listed), "idle": sorted(idle)} == {
        "missing": [],
        "idle": [],
    }


def test_packages_have_no_code() -> None:
    packages = [p for top in ("tsn", "stages") for p in (ROOT / top).rglob("__init__.py")]
    code = {str(p.relative_to(ROOT)): p.read_text() for p in packages}
    assert all(re.fullmatch(r'("""[^"]*""")?\s*', text) for text in code.values()), code


@pytest.mark.parametrize("stage", STAGES)
def test_listed_code_is_there(stage: str) -> None:
    assert [path for path in code_of(stage) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("stage", STAGES)
def test_command_has_the_options_of_the_stage(stage: str) -> None:
    words = words_of(stage)[3:]
    cls = options_of(stage)
    numbers = [word.replace("${item.split}", "1").replace("${item.", "{") for word in words]
    parsed = options.parse(cls, numbers)
    named = {word for word in words if word.startswith("--")}
    required = {
        f"--{row.name.replace('_', '-')}"
        for row in dataclasses.fields(cls)
        if row.default is dataclasses.MISSING
    }
    assert required <= named
    assert parsed is not None


@pytest.mark.parametrize("stage", STAGES)
def test_command_reads_its_dependencies_and_writes_its_outputs(stage: str) -> None:
    words = words_of(stage)[3:]
    values = dict(zip(words[::2], words[1::2], strict=True))
    roles: dict[str, set[str]] = {"input": set(), "output": set(), "value": set()}
    for row in dataclasses.fields(options_of(stage)):
        if (value := values.get(f"--{row.name.replace('_', '-')}")) is not None:
            roles[row.metadata["role"]].add(value)
    inputs, outputs = inputs_of(stage), outputs_of(STAGES[stage])
    # A path of the command may lie in an input, or be a folder of outputs.
    assert all(p in inputs or any(p.startswith(f"{i}/") for i in inputs) for p in roles["input"])
    assert all(p in outputs or any(o.startswith(f"{p}/") for o in outputs) for p in roles["output"])
    named = roles["input"] | roles["output"] | roles["value"]
    assert {p for p in outputs if p not in named and not p.startswith(folders(named))} == set()
    unnamed = {p for p in inputs if p not in named and not p.startswith(folders(named))}
    above = {p for p in unnamed if any(n.startswith(f"{p}/") for n in named)}
    assert unnamed - above <= UNNAMED


def folders(named: set[str]) -> tuple[str, ...]:
    return tuple(f"{name}/" for name in named)


@pytest.mark.parametrize("stage", STAGES)
def test_stage_depends_on_the_parameters_it_reads(stage: str) -> None:
    recipe = "recipes/${item.dataset}.yaml"
    row = STAGES[stage].get("params", [])
    plain = {entry for entry in row if isinstance(entry, str)}
    sections = next((entry[recipe] for entry in row if not isinstance(entry, str)), ())
    cls = options_of(stage)
    if stage == "check":  # it reads all of it
        assert (plain, sections) == ({"splits", "modalities"}, None)
        return
    assert plain == set(cls.params_sections)
    assert set(sections) == {s.replace("{", "${item.") for s in cls.recipe_sections}


def test_outputs_have_one_stage_each() -> None:
    outputs = [path for row in STAGES.values() for path in sorted(outputs_of(row))]
    assert len(outputs) == len(set(outputs))


def test_other_programs_look_for_results_where_stages_put_them() -> None:
    paths = DatasetPaths("${item.dataset}")
    written = set().union(*(outputs_of(row) for row in STAGES.values()))
    made = [paths.videos, paths.checksums, paths.source_lists, paths.splits, paths.init]
    made += [paths.mean, paths.report, paths.data / "${item.modality}"]
    made += [paths.models / "${item.split}/${item.modality}"]
    made += [paths.scores / "${item.split}/${item.modality}.npz"]
    made += [paths.plots / "${item.split}" / CONFUSION_TABLE]
    made += [paths.plots / "${item.split}" / PER_CLASS_TABLE]
    made += [paths.split_metrics("${item.split}")]
    assert {str(path) for path in made} <= written


def edges_of_pipeline() -> set[tuple[str, str]]:
    """Return which stages read what which others write, less what follows from the rest."""
    reads = {
        stage: {path.replace("${modalities[0]}", "${item.modality}") for path in inputs_of(stage)}
        for stage in STAGES
    }
    edges = {
        (first, second)
        for first, second in itertools.permutations(STAGES, 2)
        if any(
            f"{out}/".startswith(f"{path}/") or f"{path}/".startswith(f"{out}/")
            for out in outputs_of(STAGES[first])
            for path in reads[second]
        )
    }
    after = {stage: {second for first, second in edges if first == stage} for stage in STAGES}
    for _ in STAGES:  # all that comes after a stage, at whatever distance
        after = {s: found.union(*(after[other] for other in found)) for s, found in after.items()}
    return {
        (first, second)
        for first, second in edges
        if not any(second in after[other] for one, other in edges if one == first)
    }


def test_the_picture_in_the_readme_is_that_of_the_pipeline() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = text.partition("flowchart LR\n")[2].partition("```")[0].splitlines()
    drawn = set()
    for line in lines:
        steps = [re.findall(r"\w+", step) for step in re.sub(r"\[.*?\]", "", line).split("-->")]
        for first, second in itertools.pairwise(steps):
            drawn |= set(itertools.product(first, second))
    assert drawn == edges_of_pipeline()


def run_python(code: str) -> str:
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_checking_reading_and_splitting_needs_neither_torch_nor_mlflow() -> None:
    modules = ", ".join([*(f"stages.{name}" for name in LIGHT), *READERS])
    code = f"import sys, {modules}; print(*sys.modules)"
    loaded = {name.split(".")[0] for name in run_python(code).split()}
    assert {"stages", "tsn", "cv2"} <= loaded
    assert loaded & {"torch", "torchvision", "mlflow", "prefect", "dvc", "matplotlib"} == set()


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage not in CHECKS])
def test_what_a_stage_is_made_of_is_loaded_from_the_start(
    imports: grimp.ImportGraph, stage: str
) -> None:
    """By what is loaded then, a stage notices changes, and a training knows its own progress.

    Of the flow engines, which take seconds to load, stages name the files.
    """
    module = module_of(stage)
    loaded = run_python(f"import sys, {module}; print(*sys.modules)").split()
    made_of = imports.find_upstream_modules(module) - NEUTRAL_MODULES
    late = made_of - set(loaded)
    assert late <= {"tsn.flow.tvl1_cpu", "tsn.flow.tvl1_gpu", "tsn.flow.tvl1_kernels"}


HELP = """
import contextlib, io, json, runpy, sys
texts = {}
for name in NAMES:
    sys.argv = [name, "--help"]
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            runpy.run_module(name, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        texts[name] = [end.code, out.getvalue()]
print(json.dumps([texts, list(sys.modules)]))
"""


def test_help_of_every_program_comes_without_loading_a_server() -> None:
    stages = {module_of(stage): words_of(stage)[3::2] for stage in STAGES}
    options_of_programs = {f"stages.operate.{name}": [] for name in PROGRAMS} | stages
    texts, modules = json.loads(run_python(HELP.replace("NAMES", repr([*options_of_programs]))))
    for name, named in options_of_programs.items():
        code, text = texts[name]
        assert code == 0
        assert text.startswith(f"usage: python -m {name} ")
        assert all(option in text for option in named)
    assert "torch" in modules
    assert {"mlflow", "prefect", "dvc"}.isdisjoint(modules)
