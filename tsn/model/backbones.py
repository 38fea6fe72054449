"""The table of backbones, and those that the library timm has, by name.

PyTorch is loaded when a network is built, and for any row of timm.
"""

from tsn.model.backbone import Backbone
from tsn.model.own_backbones import CAFFE, PYTORCH_PORT, bn_inception_row, cnn_m_row
from tsn.model.timm_backbones import PREFIX, timm_row
from tsn.model.torchvision_backbones import (
    googlenet_row,
    inception_v3_row,
    resnet_row,
    vgg16_row,
)

BACKBONES: dict[str, Backbone] = {
    row.name: row
    for row in (
        bn_inception_row("bn_inception", width=1.0, inputs=CAFFE),
        bn_inception_row("bn_inception_half", width=0.5, inputs=CAFFE),
        bn_inception_row("bn_inception_quarter", width=0.25, inputs=CAFFE),
        bn_inception_row("bn_inception_pytorch", width=1.0, inputs=PYTORCH_PORT),
        cnn_m_row(),
        googlenet_row(),
        vgg16_row(),
        inception_v3_row(),
        resnet_row("resnet18", feature_dim=512, weights=11_200_000, pixel_bytes=800),
        resnet_row("resnet50", feature_dim=2048, weights=23_500_000, pixel_bytes=2_600),
        resnet_row("resnet152", feature_dim=2048, weights=58_100_000, pixel_bytes=4_700),
    )
}


def backbone(name: str) -> Backbone:
    """Return the row called `name`: one of the table, or `timm:<name>` for a network of timm.

    Raises ValueError naming the valid ones.
    """
    if name.startswith(PREFIX):
        return timm_row(name)
    if name not in BACKBONES:
        raise ValueError(
            f"unknown backbone {name!r}; valid are: {', '.join(BACKBONES)}, and {PREFIX}<name> for "
            "a network of timm"
        )
    return BACKBONES[name]
