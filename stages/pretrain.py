"""pretrain: the RGB weights all streams of a dataset start from (ImageNet file, pretext, none)."""

import argparse
from dataclasses import asdict
from pathlib import Path

from torch import Tensor

from stages.runtime import command, params, provenance
from stages.runtime.machine import Machine, choose_device
from stages.runtime.training_run import Training, complete
from stages.tracking import runs as tracking
from tsn.model.checkpoint import save_initial
from tsn.training.initial_weights import INITS, weights_from_file
from tsn.training.pretext import PretextConfig, pretext_network, pretext_optimizer, pretrain


def main(args: argparse.Namespace) -> None:
    content = params.load()
    section = f"recipes.{args.dataset}.init"
    machine = params.section(content, "machine", Machine)
    kind, config = params.choice(content, section, INITS)
    with provenance.unchanged([section], []):
        tensors, training = None, None
        if kind == "pretext":
            tensors, training = train_pretext(args.dataset, config, machine)
        elif kind == "weights_file":
            tensors = weights_from_file(config)
        save_initial(args.out, kind, config.backbone, tensors)
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
    parser = argparse.ArgumentParser(prog="pretrain", description=__doc__)
    parser.add_argument("--dataset", required=True, help="a recipe of params.yaml")
    parser.add_argument("--out", required=True, type=Path, help="out: folder of the weights")
    command.run(parser, main)
