"""A small U-Net: the class of each pixel from what is around it.

Ronneberger, Fischer and Brox (2015), MICCAI: 234-241. Plain PyTorch; change it as you like.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

WIDTHS = (16, 32, 64)  # channels at full, half and quarter resolution: 120,000 parameters
FACTOR = 2 ** (len(WIDTHS) - 1)  # rows and columns must be multiples of it
OVERLAP = 32  # pixels: no pixel further away matters; a multiple of FACTOR


class UNet(nn.Module):
    """Class scores of the pixels of images of any size.

    In: reflectance, float32 of shape (images, bands, rows, columns), NaN where there is no data.
    Out: shape (images, classes, rows, columns).
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        mean: Sequence[float],
        deviation: Sequence[float],
        classes: int,
        widths: Sequence[int] = WIDTHS,
    ) -> None:
        """Create an untrained network.

        Args:
            mean, deviation: of each band in the training data.
            classes: how many there are.
            widths: channels of each level, from the finest to the coarsest.
        """
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).reshape(1, -1, 1, 1))
        self.register_buffer("deviation", torch.tensor(deviation).reshape(1, -1, 1, 1))
        inputs = [len(mean), *widths[:-1]]
        self.down = nn.ModuleList(map(block, inputs, widths))
        coarse, fine = widths[:0:-1], widths[-2::-1]
        pairs = zip(coarse, fine, strict=True)
        self.grow = nn.ModuleList(nn.ConvTranspose2d(*pair, 2, 2) for pair in pairs)
        self.up = nn.ModuleList(block(2 * width, width) for width in fine)
        self.head = nn.Conv2d(widths[0], classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        values = torch.nan_to_num((images - self.mean) / self.deviation)
        levels = []
        for level, down in enumerate(self.down):
            values = down(nn.functional.max_pool2d(values, 2) if level else values)
            levels.append(values)
        for grow, up, skipped in zip(self.grow, self.up, levels[-2::-1], strict=True):
            values = up(torch.cat([skipped, grow(values)], dim=1))
        scores: Tensor = self.head(values)
        return scores


def block(inputs: int, outputs: int) -> nn.Sequential:
    """Two convolutions over 3 x 3 pixels, each normalized."""
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        convolution = nn.Conv2d(channels, outputs, 3, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers)
