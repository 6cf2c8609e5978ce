"""Free memory, from files as written by Linux."""

from __future__ import annotations

import platform
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from derain_cli.system.memory import free_memory, keep_freed_memory

MB = 2**20


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A function that writes files below a root; 8000 MB are available, without further limits."""
    monkeypatch.setattr(resource, "getrlimit", lambda which: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    def write(**files: str) -> Path:
        for name, text in {"proc/meminfo": "MemTotal: 1 kB\nMemAvailable:    8192000 kB\n", **files}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


def test_the_machine(machine):
    assert free_memory(machine()) == 8_192_000 * 1024


@pytest.mark.parametrize("limited", ["", "user/job/", "user/"])
def test_a_group_of_version_2_or_one_above_it(machine, limited):
    files = {
        "proc/self/cgroup": "0::/user/job\n",
        "sys/fs/cgroup/user/job/memory.max": "max\n",
        f"sys/fs/cgroup/{limited}memory.max": f"{1000 * MB}\n",
        f"sys/fs/cgroup/{limited}memory.current": f"{700 * MB}\n",
        f"sys/fs/cgroup/{limited}memory.stat": f"anon 5\ninactive_file {100 * MB}\n",
    }
    assert free_memory(machine(**files)) == 400 * MB


def test_a_group_of_version_1(machine):
    place = "sys/fs/cgroup/memory/docker/x/memory"
    files = {
        "proc/self/cgroup": "9:cpu:/\n4:memory:/docker/x\n0::/\n",
        f"{place}.limit_in_bytes": f"{600 * MB}\n",
        f"{place}.usage_in_bytes": f"{200 * MB}\n",
        f"{place}.stat": "cache 5\n",
    }
    assert free_memory(machine(**files)) == 400 * MB


def test_a_container_that_sees_its_own_group_at_the_top(machine):
    files = {
        "proc/self/cgroup": "4:memory:/docker/not-here\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{500 * MB}\n",
        "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{100 * MB}\n",
    }
    assert free_memory(machine(**files)) == 400 * MB


def test_a_group_without_a_limit(machine):
    files = {
        "proc/self/cgroup": "4:memory:/\n0::/\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        "sys/fs/cgroup/memory/memory.usage_in_bytes": "0\n",
        "sys/fs/cgroup/memory.max": "max\n",
    }
    assert free_memory(machine(**files)) == 8_192_000 * 1024


def test_the_address_space(machine, monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda which: (900 * MB, 900 * MB))
    page = resource.getpagesize()
    assert free_memory(machine(**{"proc/self/statm": f"{500 * MB // page} 1 1 1 0 1 0\n"})) == 400 * MB


def test_more_used_than_allowed_leaves_nothing(machine):
    files = {
        "proc/self/cgroup": "0::/\n",
        "sys/fs/cgroup/memory.max": "5",
        "sys/fs/cgroup/memory.current": "9",
    }
    assert free_memory(machine(**files)) == 0


def test_unknown(tmp_path, monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda which: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert free_memory(tmp_path) is None


def test_here():
    left = free_memory()
    assert left is None or left > MB


KEEPS = """
import resource, sys
from derain_cli.system.memory import keep_freed_memory
kept = sys.argv[1] == "keep" and keep_freed_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        blocks = [bytearray(3 << 20) for _ in range(10)]
        del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(int(kept), faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="for glibc only")
def test_freed_memory_is_kept_when_told_to():
    """Then memory is not requested from the system page by page. In a separate process, since it cannot be undone."""
    found = {}
    for how in ("keep", "leave"):
        done = subprocess.run([sys.executable, "-c", KEEPS, how], capture_output=True, text=True, check=True)
        found[how] = [int(word) for word in done.stdout.split()]
    assert found["keep"][0] == 1
    assert found["keep"][1] < found["leave"][1] / 10


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    assert keep_freed_memory() is False
