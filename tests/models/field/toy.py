"""What toy fields of tests share."""

import torch


class Toy:
    """A field by formulas: no table, on the CPU."""

    scattered = False
    device = torch.device("cpu")
    planes = torch.zeros(1)

    def __call__(self, points):
        raw, features = self.raw(points)
        return self.activate(raw), self.rgb(features, 1.0)

    @torch.no_grad()
    def raw_density(self, points):
        return self.raw(points)[0]
