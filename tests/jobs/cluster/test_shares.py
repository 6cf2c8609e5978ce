"""How machines are cut into workers."""

from __future__ import annotations

import pytest

from derain_cli.config import RestoreOptions
from derain_cli.config.cluster import ClusterOptions, is_address
from derain_cli.errors import ResourceError, UsageError
from derain_cli.jobs.cluster.shares import Share, shares_of

CPU = RestoreOptions(device="cpu")
AUTO = RestoreOptions()


@pytest.mark.parametrize(
    ("machines", "restore", "expected"),
    [
        ([{"CPU": 16.0}, {"CPU": 9.0}], AUTO, (6, Share(4))),
        ([{"CPU": 2.0}, {"CPU": 16.0}, {}], AUTO, (9, Share(2))),
        ([{"CPU": 16.0, "GPU": 2.0}, {"CPU": 64.0}], AUTO, (2, Share(4, 1))),
        ([{"CPU": 6.0, "GPU": 2.0}], RestoreOptions(device="cuda"), (2, Share(3, 1))),
        ([{"CPU": 8.0, "GPU": 1.0}], CPU, (2, Share(4))),
    ],
)
def test_workers_per_gpu_or_per_processors(
    machines: list[dict[str, float]], restore: RestoreOptions, expected: tuple[int, Share]
) -> None:
    assert shares_of(machines, ClusterOptions(), restore) == expected


def test_what_no_machine_has_is_refused() -> None:
    with pytest.raises(ResourceError, match="no GPU"):
        shares_of([{"CPU": 8.0}], ClusterOptions(), RestoreOptions(device="cuda"))
    with pytest.raises(ResourceError, match="no processors"):
        shares_of([{}], ClusterOptions(), CPU)
    with pytest.raises(UsageError, match="cuda:1"):
        shares_of([{"CPU": 8.0, "GPU": 2.0}], ClusterOptions(), RestoreOptions(device="cuda:1"))


@pytest.mark.parametrize("word", ["auto", "local", "head:6379", "10.0.0.1:6379", "ray://head:10001", "[::1]:6379"])
def test_addresses(word: str) -> None:
    assert is_address(word)
    ClusterOptions(word)


@pytest.mark.parametrize("word", ["", "photos", "photos/", "a.jpg", "head", "ray://head", "http://head:1"])
def test_other_words_are_no_addresses(word: str) -> None:
    assert not is_address(word)
    with pytest.raises(UsageError):
        ClusterOptions(word)
