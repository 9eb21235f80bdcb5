"""The audit of the gradient tests of public libraries: reports/audit.

    python -m benchmarks.public_suites FOLDER [--only optax,e3nn] [--out reports/audit] [--index]

FOLDER holds a checkout of each library in a folder of its name, at the commit that is named here. The libraries and
their dependencies must be installed. A suite that needs longer than its limit is interrupted; the audit then holds the
tests that ran. --index only writes the index again.

The tests of torchmetrics import cachier; a module of that name whose decorator returns the function is enough. The
tests of pennylane run on the installed version: of its checkout, only tests/ may be there.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from gradagree.audit.records import Classification
from gradagree.audit.results import AuditResults, markdown, read_results

ROOT = Path(__file__).parents[1]
OPTIONS = ("-q", "-p", "no:cacheprovider", "--override-ini=addopts=", "--override-ini=required_plugins=")


@dataclass(frozen=True)
class PublicSuite:
    """The gradient tests of a library: repository, commit, arguments of pytest, most seconds that they may take."""

    name: str
    repository: str
    commit: str
    arguments: str
    limit: int = 180


LOSSES = "optax/losses/_fenchel_young_test.py optax/losses/_ranking_test.py optax/losses/_classification_test.py "
SUITES = (
    PublicSuite(
        "optax", "google-deepmind/optax", "2edbcbe2390d",
        LOSSES + "optax/losses/_segmentation_test.py optax/projections/_projections_test.py "
        "optax/_src/numerics_test.py optax/_src/utils_test.py optax/_src/linear_algebra_test.py "
        "optax/transforms/_monitoring_test.py -k 'grad or vjp or diff or jac or fenchel or rank or mask or ctc or "
        "hessian or norm or sgd or safe'",
    ),
    PublicSuite(
        "flax", "google/flax", "18f8f311c275",
        "tests/linen/linen_transforms_test.py tests/core/core_lift_test.py tests/core/design/core_custom_vjp_test.py "
        "tests/nnx/transforms_test.py -k 'grad or vjp or jvp'",
    ),
    PublicSuite(
        "equinox", "patrick-kidger/equinox", "9336d820b2ef",
        "tests/test_ad.py tests/test_noinline.py tests/test_scan.py", 240,
    ),
    PublicSuite("chex", "google-deepmind/chex", "b4942e3e3cee", "chex/_src/asserts_test.py -k grad"),
    PublicSuite(
        "kornia", "kornia/kornia", "b4f5a78a1389",
        "tests/losses tests/enhance/test_adjust.py tests/geometry/test_conversions.py tests/feature/test_laf.py "
        "-k grad",
    ),
    PublicSuite(
        "torchmetrics", "Lightning-AI/torchmetrics", "dab033394560",
        "tests/unittests/regression -k differentiab --ignore=tests/unittests/regression/test_crps.py "
        "--ignore=tests/unittests/regression/test_mean_error.py",
    ),
    PublicSuite(
        "autograd", "HIPS/autograd", "bff107b8d71a",
        "tests/test_numpy.py tests/test_binary_ops.py tests/test_systematic.py tests/test_wrappers.py "
        "tests/test_jacobian.py tests/test_scalar_ops.py tests/test_core.py tests/test_dict.py tests/test_list.py "
        "tests/test_linalg.py",
    ),
    PublicSuite(
        "e3nn", "e3nn/e3nn", "2aa7f58440a0",
        "tests/nn/normact_test.py tests/math/soft_unit_step_test.py tests/o3/norm_test.py "
        "tests/o3/cartesian_spherical_harmonics_test.py -k 'not inductor and not compil'",
    ),
    PublicSuite(
        "gpytorch", "cornellius-gp/gpytorch", "7c4ec80f0f05",
        "test/kernels/test_rbf_kernel.py test/kernels/test_rq_kernel.py test/kernels/test_gibbs_kernel.py "
        "test/kernels/test_constant_kernel.py test/kernels/test_additive_and_product_kernels.py "
        "test/lazy/test_lazy_evaluated_kernel_tensor.py test/functions test/variational test/mlls",
    ),
    PublicSuite(
        "pennylane", "PennyLaneAI/pennylane", "4ac3a0fc72c2",
        "tests/gradients/core/test_vjp.py tests/gradients/core/test_fisher.py "
        "tests/gradients/core/test_hadamard_gradient.py tests/math/test_fidelity_math.py",
    ),
)  # fmt: skip


def run_suite(suite: PublicSuite, folder: Path, out: Path) -> None:
    """Run the tests of a suite with the audit, and write its audit.json and audit.md."""
    target = out / suite.name
    options = ["-p", "gradagree.pytest_plugin", f"--gradagree-audit-report={target.absolute()}"]
    command = [sys.executable, "-m", "pytest", *OPTIONS, *options, *shlex.split(suite.arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu"}
    process = subprocess.Popen(command, cwd=folder / suite.name, env=environment)
    try:
        process.wait(suite.limit)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        process.wait(300)
    results = read_results(target / "audit.json")
    shown = shlex.join(["pytest", *OPTIONS, "--gradagree-audit-report=DIR"]) + f" {suite.arguments}"
    publish(target, msgspec.structs.replace(results, command=shown))


def publish(target: Path, results: AuditResults) -> None:
    """Write the two published files; the page is left out, since it holds the same."""
    (target / "audit.json").write_text(results.to_json(), encoding="utf-8")
    (target / "audit.md").write_text("\n".join(markdown(results)) + "\n", encoding="utf-8")
    (target / "audit.html").unlink(missing_ok=True)


INTRODUCTION = """\
What the gradient tests of public libraries would let through, as [the audit](../../docs/audit.md) computes it. These
are facts about tolerances, not about the quality of a library: a tolerance may be wide for good reasons, such as finite
differences in float32. `python -m benchmarks.public_suites FOLDER` runs the suites again; each `audit.md` has its
command.
"""


def index(out: Path, suites: Sequence[PublicSuite] = SUITES) -> Iterator[str]:
    """The page on all suites."""
    yield "# The audit of public suites"
    yield ""
    yield INTRODUCTION
    kinds = list(Classification)
    yield f"| suite | commit | tests | places | {' | '.join(kinds)} | seconds | of which audit | versions |"
    yield f"|{' --- |' * (len(kinds) + 7)}"
    for suite in suites:
        path = out / suite.name / "audit.json"
        if path.exists():
            yield row(suite, read_results(path))


def row(suite: PublicSuite, results: AuditResults) -> str:
    """The row of a suite in the table."""
    address = f"https://github.com/{suite.repository}/tree/{suite.commit}"
    counts = [f"{results.counts.get(kind, 0):,}" for kind in Classification]
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    cells = [
        f"[{suite.name}]({suite.name}/audit.md)", f"[{suite.commit}]({address})", f"{results.tests:,}",
        f"{len(results.records):,}", *counts, f"{results.seconds:.0f}", f"{results.audit_seconds:.1f}", versions,
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Run the suites, and write the index."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--out", type=Path, default=ROOT / "reports" / "audit")
    parser.add_argument("--index", action="store_true")
    given = parser.parse_args()
    for suite in SUITES:
        if not given.index and (not given.only or suite.name in given.only.split(",")):
            run_suite(suite, given.folder, given.out)
    (given.out / "README.md").write_text("\n".join(index(given.out)) + "\n", encoding="utf-8")
    print(json.dumps({suite.name: (given.out / suite.name).exists() for suite in SUITES}))


if __name__ == "__main__":
    main()
