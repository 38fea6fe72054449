"""CNN-M-2048 (Chatfield et al., 2014), the "Clarifai" network of the paper's Tables 1 and 4.

Five convolutions and two fully connected layers, without BN. The layers carry Caffe's names.
"""

import torch
from torch import nn

POOLED_SIDE = 6  # of the last feature map, for images of 224 pixels
STD, FULLY_CONNECTED_STD = 0.01, 0.005


class CNNM(nn.Sequential):
    """CNN-M-2048 without its classifier: images (N, C, H, W) to features (N, 2048)."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        norm = {"size": 5, "alpha": 5e-4, "beta": 0.75, "k": 2.0}
        layers: dict[str, nn.Module] = {
            "conv1": nn.Conv2d(in_channels, 96, 7, stride=2),
            "relu1": nn.ReLU(inplace=True),
            "norm1": nn.LocalResponseNorm(**norm),  # type: ignore[arg-type]
            "pool1": nn.MaxPool2d(3, stride=2, ceil_mode=True),
            "conv2": nn.Conv2d(96, 256, 5, stride=2, padding=1),
            "relu2": nn.ReLU(inplace=True),
            "norm2": nn.LocalResponseNorm(**norm),  # type: ignore[arg-type]
            "pool2": nn.MaxPool2d(3, stride=2, ceil_mode=True),
            "conv3": nn.Conv2d(256, 512, 3, padding=1),
            "relu3": nn.ReLU(inplace=True),
            "conv4": nn.Conv2d(512, 512, 3, padding=1),
            "relu4": nn.ReLU(inplace=True),
            "conv5": nn.Conv2d(512, 512, 3, padding=1),
            "relu5": nn.ReLU(inplace=True),
            "pool5": nn.MaxPool2d(3, stride=2, ceil_mode=True),
            "side": nn.AdaptiveMaxPool2d(POOLED_SIDE),  # nothing at 224 pixels
            "flat": nn.Flatten(),
            "fc6": nn.Linear(512 * POOLED_SIDE**2, 4096),
            "relu6": nn.ReLU(inplace=True),
            "drop6": nn.Dropout(),
            "fc7": nn.Linear(4096, 2048),
            "relu7": nn.ReLU(inplace=True),
        }
        for name, layer in layers.items():
            self.add_module(name, layer)


def initialise(module: nn.Module, generator: torch.Generator) -> None:
    """Draw convolutions from N(0, 0.01) and fully connected layers from N(0, 0.005); bias 0."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            std = STD if isinstance(layer, nn.Conv2d) else FULLY_CONNECTED_STD
            nn.init.normal_(layer.weight, std=std, generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
