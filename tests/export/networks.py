"""Networks that make exporting hard."""

import torch
from torch import nn


class Plain(nn.Module):
    """Two classes, sides in multiples of 4."""

    divisor = 4

    def __init__(self, volumes=False):
        super().__init__()
        down, up = (nn.Conv3d, nn.ConvTranspose3d) if volumes else (nn.Conv2d, nn.ConvTranspose2d)
        self.down, self.up = down(1, 4, 4, stride=4), up(4, 2, 4, stride=4)

    def forward(self, x):
        return self.up(self.down(x).relu())


class OneSize(Plain):
    """Takes images of 8 x 12 alone, as transformers with learnt positions do."""

    def __init__(self):
        super().__init__()
        self.place = nn.Parameter(torch.rand(1, 8, 12))

    def forward(self, x):
        return super().forward(x + self.place)


class OneByOne(Plain):
    """Its batch becomes fixed when it is exported."""

    def forward(self, x):
        return torch.cat([super(OneByOne, self).forward(x[i : i + 1]) for i in range(len(x))])


class Unpredictable(Plain):
    """Decides by its values what to do."""

    def forward(self, x):
        return super().forward(x if x.sum() > 0 else -x)
