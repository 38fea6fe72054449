"""pretrain: the weights a dataset's networks start from (a file's, a package's, learned, none)."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from stages.runtime import command, params, provenance
from stages.runtime.machine import choose_device, read_machine
from stages.runtime.options import StageOptions, option, output_path
from stages.runtime.training_run import SavedTraining, complete
from stages.tracking import runs
from tsn.model.checkpoint import save_initial
from tsn.training import pretext  # noqa: F401  # loaded from the start: provenance watches it
from tsn.training.initial_weights import INITS
from tsn.training.solver import Training


@dataclass(frozen=True, kw_only=True)
class Options(StageOptions):
    recipe_sections = ("init",)

    dataset: str = option("a recipe: recipes/<dataset>.yaml")
    out: Path = output_path("folder of the weights")


def main(options: Options) -> None:
    configs = {name: row.config for name, row in INITS.items()}
    kind, config = params.choice(params.load_recipe(options.dataset), "init", configs)
    cell = {"dataset": options.dataset, "stage": "pretrain"}
    saved = SavedTraining(f"{options.dataset}-init", provenance.fingerprint(cell, config, []))

    def run_training(prepare: Callable[[torch.device, int], Training]) -> None:
        machine = read_machine()
        training = prepare(choose_device(machine), machine.workers)
        training = replace(training, precision=machine.precision)
        with runs.live_run(
            dataset=options.dataset,
            name="pretrain",
            key={"stage": "pretrain", "fingerprint": saved.fingerprint},
            params={kind: asdict(config)},
            tags={"dataset": options.dataset},
        ) as run:
            complete(training, saved, machine, run, text=f"pretrain {options.dataset}")
            run.flush()  # it has no other record of its curves

    with provenance.unchanged(options):
        sources = INITS[kind].make(config, run_training)
        save_initial(options.out, kind, config.backbone, sources)
    saved.forget()


if __name__ == "__main__":
    command.run(__doc__, Options, main)
