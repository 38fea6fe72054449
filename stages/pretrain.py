"""pretrain: the RGB weights all streams of a dataset start from (ImageNet file, pretext, none)."""

from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor

from stages.runtime import command, params, provenance
from stages.runtime.machine import Machine, choose_device, read_machine
from stages.runtime.options import StageOptions, option, output_path
from stages.runtime.training_run import Training, complete
from stages.tracking import runs as tracking
from tsn.model.checkpoint import save_initial
from tsn.training.initial_weights import INITS, weights_from_file
from tsn.training.pretext import PretextConfig, pretext_network, pretext_optimizer, pretrain


@dataclass(frozen=True, kw_only=True)
class Options(StageOptions):
    recipe_sections = ("init",)

    dataset: str = option("a recipe: recipes/<dataset>.yaml")
    out: Path = output_path("folder of the weights")


def main(options: Options) -> None:
    machine = read_machine()
    kind, config = params.choice(params.load_recipe(options.dataset), "init", INITS)
    with provenance.unchanged(options):
        tensors, training = None, None
        if kind == "pretext":
            tensors, training = train_pretext(options.dataset, config, machine)
        elif kind == "weights_file":
            tensors = weights_from_file(config)
        save_initial(options.out, kind, config.backbone, tensors)
    if training is not None:
        training.forget()


def train_pretext(
    dataset: str, config: PretextConfig, machine: Machine
) -> tuple[dict[str, Tensor], Training]:
    """Backbone tensors trained on the generated still-image task."""
    fingerprint = provenance.fingerprint({"dataset": dataset, "stage": "pretrain"}, config, [])
    network = pretext_network(config)
    device = choose_device(machine)
    network.to(device)
    optimizer = pretext_optimizer(network, config.solver)
    with tracking.run(
        part="pretrain",
        dataset=dataset,
        name="pretrain",
        key={"stage": "pretrain", "fingerprint": fingerprint},
        params={"pretext": asdict(config)},
        tags={"dataset": dataset},
    ) as run:
        training = Training(
            network,
            optimizer,
            f"{dataset}-init",
            fingerprint,
            config.solver.iterations,
            machine,
        )
        complete(
            training,
            lambda start: pretrain(
                network, optimizer, config, device=device, workers=machine.workers, start=start
            ),
            run,
            text=f"pretrain {dataset}",
        )
    return dict(network.backbone.state_dict()), training


if __name__ == "__main__":
    command.run(__doc__, Options, main)
