"""Which seeds may be used for what. The ranges never overlap."""

PRIOR = range(50_000)  # prior and encoder
UPPER = range(
    50_000, 70_000
)  # everything trained on top of the prior: diffusion, HPDM, Turbo, metric networks
VALIDATION = range(90_000, 90_256)  # choose and tune here
HELD_OUT = range(
    100_000, 200_000
)  # only benches, the shipped portrait and acceptance looks read these; nothing is tuned on them
SHIPPED = 100_016  # the portrait that ships, of factory 3

SPLITS = {"prior": PRIOR, "upper": UPPER, "validation": VALIDATION, "held_out": HELD_OUT}


def split_of(seed: int) -> str:
    """Name of the split a seed belongs to.

    Raises:
        ValueError: for a seed that belongs to none.
    """
    for name, seeds in SPLITS.items():
        if seed in seeds:
            return name
    ranges = ", ".join(f"{name} {seeds.start}-{seeds.stop - 1}" for name, seeds in SPLITS.items())
    raise ValueError(f"split_of: seed {seed} belongs to no split; the ranges are {ranges}")
