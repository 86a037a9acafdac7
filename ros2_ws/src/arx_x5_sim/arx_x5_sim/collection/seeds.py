# SPDX-License-Identifier: Apache-2.0
"""Which task seeds are for training, validation and test. The ranges never overlap; seeds beyond them are unused."""

TRAIN_SEEDS = range(10_000)
VALIDATION_SEEDS = range(10_000, 20_000)
TEST_SEEDS = range(20_000, 30_000)


def check_train_seeds(first: int, count: int) -> range:
    """Return the seeds [first, first + count).

    Raises:
        ValueError: not all of them are training seeds.
    """
    seeds = range(first, first + count)
    if first < TRAIN_SEEDS.start or seeds.stop > TRAIN_SEEDS.stop:
        raise ValueError(
            f"seeds {first} to {seeds.stop - 1} are not all training seeds, "
            f"which are {TRAIN_SEEDS.start} to {TRAIN_SEEDS.stop - 1}"
        )
    return seeds
