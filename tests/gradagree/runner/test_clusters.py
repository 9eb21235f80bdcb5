"""A run on a dask.distributed cluster of separate processes on this machine: the records of a run without one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from gradagree.checker.verdict import Record
from gradagree.runner.process import ONE_THREAD
from gradagree.runner.results import read_records

pytest.importorskip("distributed")

FAKE = str(Path(__file__).parents[1] / "numpy_fake.py")
OPTIONS = "--frameworks numpy_fake,not_here --modes right,raises,segfault --cases 12 --seed 4 --dtypes float32"
FUNCTIONS = "--activations tanh,relu --errors sse,mse --shrink 0"
LIMIT = 240.0
ENVIRONMENT = {**os.environ, **ONE_THREAD}
Cluster = tuple[str, list[subprocess.Popen[bytes]]]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """The address of a scheduler, and its two workers."""
    place = tmp_path / "cluster"
    place.mkdir()
    file = place / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    scheduler = [*dask, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--no-show"]
    made = [begin([*scheduler, "--scheduler-file", str(file)], place)]
    worker = [*dask, "worker", "--scheduler-file", str(file), "--nthreads", "1", "--no-nanny", "--no-dashboard"]
    for _ in range(2):
        made.append(begin([*worker, "--local-directory", str(place)], place))
    ends = time.monotonic() + LIMIT
    while not file.exists():
        assert time.monotonic() < ends
        time.sleep(0.1)
    yield msgspec.json.decode(file.read_bytes())["address"], made[1:]
    for process in made:
        process.kill()
        process.wait()


def begin(command: list[str], folder: Path) -> subprocess.Popen[bytes]:
    out = subprocess.DEVNULL
    return subprocess.Popen(command, stdout=out, stderr=out, env=ENVIRONMENT, cwd=folder)


def run(folder: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "gradagree", "run", "--ext", FAKE, "--out", str(folder)]
    command += [*OPTIONS.split(), *FUNCTIONS.split(), *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)


def kept(folder: Path) -> list[Record]:
    records = (msgspec.structs.replace(record, seconds=0.0) for record in read_records(folder))
    return sorted(records, key=lambda record: (record.key, record.index))


def test_that_a_cluster_one_of_whose_workers_dies_makes_the_same_records(tmp_path: Path, cluster: Cluster) -> None:
    address, workers = cluster
    _, stderr = run(tmp_path / "alone").communicate(timeout=LIMIT)
    assert stderr.count("gradagree:") == 0, stderr
    process, path = run(tmp_path / "together", "--scheduler", address), tmp_path / "together" / "results.jsonl"
    ends = time.monotonic() + LIMIT
    while not path.exists() or not path.read_bytes():
        assert time.monotonic() < ends
        assert process.poll() is None
        time.sleep(0.02)
    workers[0].kill()
    _, stderr = process.communicate(timeout=LIMIT)
    assert process.returncode == 1, stderr
    assert kept(tmp_path / "together") == kept(tmp_path / "alone")
    assert len(kept(tmp_path / "alone")) == 12 * 3 * 2


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense", "tcp://", ""])
def test_that_an_unreachable_cluster_is_an_error_of_one_line(address: str, tmp_path: Path) -> None:
    process = run(tmp_path / "run", "--scheduler", address)
    shown, stderr = process.communicate(timeout=LIMIT)
    assert (process.returncode, shown) == (2, "")
    assert stderr.splitlines()[-1].startswith(f"gradagree: --scheduler {address}: cannot connect to a cluster: "), (
        stderr
    )
    assert "Traceback" not in stderr
