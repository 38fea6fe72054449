"""The numbers a network computes with: float32, or bfloat16 where the device is made for it.

Weights, their gradients' sums and batch statistics are float32 either way. With bfloat16,
convolutions and matrix products take and give numbers of 8 significant bits. In float32, cuDNN's
convolutions on a GPU may round their inputs to TF32 (11 bits), which is PyTorch's default.
"""

import torch

_OLDEST = (8, 0)  # compute capability of the first GPUs that compute with bfloat16


def computing_in(precision: str, device: torch.device) -> torch.autocast:
    """Return the context in which a network computes.

    precision: float32, bfloat16, or auto: bfloat16 on a GPU that has it, else float32.
    """
    bfloat16 = precision == "bfloat16" or (
        precision == "auto"
        and device.type == "cuda"
        and torch.cuda.get_device_capability(device) >= _OLDEST
    )
    return torch.autocast(device.type, torch.bfloat16, enabled=bfloat16)
