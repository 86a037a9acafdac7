# SPDX-License-Identifier: Apache-2.0
"""Which task seeds are for what. The ranges never overlap; seeds beyond them are nobody's to touch."""

TRAIN_SEEDS = range(10_000)
VALIDATION_SEEDS = range(10_000, 20_000)
TEST_SEEDS = range(20_000, 30_000)


def check_train_seeds(first: int, count: int) -> range:
    """Returns the seeds [first, first + count), all of which must be training seeds."""
    seeds = range(first, first + count)
    if first < TRAIN_SEEDS.start or seeds.stop > TRAIN_SEEDS.stop:
        raise ValueError(
            f"seeds {first} to {seeds.stop - 1} are not all training seeds, "
            f"which are {TRAIN_SEEDS.start} to {TRAIN_SEEDS.stop - 1}"
        )
    return seeds
