"""What toy fields of tests share."""

import torch


class Toy:
    """A field by formulas: no table, on the CPU."""

    scattered = False
    device = torch.device("cpu")

    @torch.no_grad()
    def raw_density(self, points):
        return self.raw(points)[0]
