"""Arguments for jax.lax.linalg, jax.numpy.linalg and jax.scipy, where the signature does not say enough."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from benchmarks.jax_arguments import (
    CREATES,
    NO_DERIVATIVE,
    PARTS,
    Cast,
    Made,
    draw,
    first,
    inside,
    listed,
    plain,
    positive,
    regular,
    then,
)

COUNTS = np.array([[0, 1, 2, 3], [3, 1, 0, 2], [1, 1, 4, 5]])
"""Numbers of events."""
SYMMETRIC = draw(4, 4) + draw(4, 4).T
SUM_TO_ONE = np.array([0.2, 0.3, 0.5])
UPPER = np.triu(regular(4))
TWO = (1 + PARTS, 2 + PARTS)


def counted(*parameters: Any, numbers: np.ndarray = COUNTS) -> Callable[[Any, Cast], Made]:
    """A distribution of integers: the numbers first, then parameters that are differentiated."""
    return lambda function, cast: ((lambda *xs: function(numbers, *xs)), [cast(x) for x in parameters])


def factored(function: Any, cast: Cast) -> Made:
    """A solver that takes a factor and a flag."""
    return (lambda c, b: function((c, False), b)), [cast(UPPER), cast(draw(4, 2))]


ARGUMENTS: dict[str, Callable[[Any, Cast], Made]] = {
    # jax.lax.linalg and jax.numpy.linalg
    **dict.fromkeys(("lax.linalg.cholesky", "numpy.linalg.cholesky", "scipy.linalg.cholesky"), plain(positive(4))),
    "lax.linalg.cholesky_update": plain(UPPER, draw(4)),
    **dict.fromkeys(("lax.linalg.eigh", "numpy.linalg.eigh", "scipy.linalg.eigh"), plain(SYMMETRIC)),
    "numpy.linalg.eigvalsh": plain(SYMMETRIC), "numpy.linalg.eigvals": plain(regular(4)),
    "lax.linalg.eig": plain(regular(4), compute_left_eigenvectors=False, compute_right_eigenvectors=False),
    "lax.linalg.lu": lambda f, cast: (lambda a: f(a)[0], [cast(regular(4))]),
    "lax.linalg.qr": plain(draw(4, 3), full_matrices=False),
    "lax.linalg.svd": plain(draw(4, 3), full_matrices=False),
    "lax.linalg.symmetric_product": plain(draw(4, 3), SYMMETRIC),
    "lax.linalg.triangular_solve": plain(np.tril(regular(4)), draw(4, 4), left_side=True, lower=True),
    "lax.linalg.tridiagonal_solve": plain(
        np.array([0.0, 0.4, -0.3, 0.7]), np.array([2.0, 3.0, -2.0, 4.0]), np.array([0.5, 0.6, 0.2, 0.0]), draw(4, 2)
    ),
    "numpy.linalg.cond": plain(regular(4)),
    "numpy.linalg.cross": plain(draw(4, 3), draw(4, 3, seed=1)),
    "numpy.linalg.det": plain(regular(4)),
    "numpy.linalg.inv": plain(regular(4)),
    "numpy.linalg.lstsq": lambda f, cast: (lambda a, b: f(a, b)[0], [cast(draw(5, 3)), cast(draw(5, 2, seed=1))]),
    "numpy.linalg.matmul": plain(draw(3, 4), draw(4, 2)),
    "numpy.linalg.matrix_power": then(regular(3), after=(3,)),
    "numpy.linalg.multi_dot": listed(draw(3, 4), draw(4, 2, seed=1)),
    "numpy.linalg.pinv": plain(draw(3, 4)),
    "numpy.linalg.outer": plain(draw(3), draw(4, seed=1)),
    **dict.fromkeys(("numpy.linalg.slogdet",), lambda f, cast: (lambda a: f(a)[1], [cast(regular(4))])),
    **dict.fromkeys(("numpy.linalg.solve", "scipy.linalg.solve"), plain(regular(4), draw(4, 2))),
    "numpy.linalg.svd": plain(draw(4, 3), full_matrices=False),
    "numpy.linalg.tensordot": plain(draw(2, 3, 4), draw(3, 4, 5, seed=1)),
    "numpy.linalg.tensorinv": plain(regular(4).reshape(2, 2, 2, 2)),
    "numpy.linalg.tensorsolve": plain(regular(4).reshape(2, 2, 4), draw(2, 2)),
    # jax.scipy.linalg
    "scipy.linalg.block_diag": plain(draw(2, 2), draw(1, 3)),
    "scipy.linalg.cho_factor": lambda f, cast: (lambda a: f(a)[0], [cast(positive(4))]),
    "scipy.linalg.cho_solve": factored,
    "scipy.linalg.companion": plain(1 + inside(5)),
    "scipy.linalg.convolution_matrix": then(draw(3), after=(4,)),
    "scipy.linalg.expm": plain(0.4 * draw(3, 3)),
    "scipy.linalg.expm_frechet": plain(0.4 * draw(3, 3), draw(3, 3, seed=1)),
    "scipy.linalg.fiedler_companion": plain(1 + inside(5)),
    "scipy.linalg.funm": lambda f, cast: (lambda a: f(a, jnp.sin), [cast(regular(3))]),
    "scipy.linalg.inv": plain(regular(4)),
    "scipy.linalg.leslie": plain(inside(4), inside(3, seed=1)),
    "scipy.linalg.lu": lambda f, cast: (lambda a: f(a)[1:], [cast(regular(4))]),
    "scipy.linalg.lu_factor": lambda f, cast: (lambda a: f(a)[0], [cast(regular(4))]),
    "scipy.linalg.lu_solve": lambda f, cast: (
        lambda c, b: f((c, np.arange(4, dtype=np.int32)), b), [cast(regular(4)), cast(draw(4, 2))]
    ),
    "scipy.linalg.qr": plain(draw(4, 3), mode="economic"),
    "scipy.linalg.qr_multiply": plain(draw(4, 3), draw(2, 4)),
    "scipy.linalg.solve_sylvester": plain(positive(3), positive(3), draw(3, 3)),
    "scipy.linalg.solve_triangular": plain(UPPER, draw(4, 2)),
    "scipy.linalg.svd": plain(draw(4, 3), full_matrices=False),
    # the rest of jax.scipy
    "scipy.cluster.vq.vq": lambda f, cast: (lambda x, c: f(x, c)[1], [cast(draw(5, 3)), cast(draw(2, 3, seed=1))]),
    "scipy.integrate.trapezoid": plain(draw(3, 4), np.array([0.0, 0.5, 1.5, 2.0])),
    "scipy.ndimage.map_coordinates": lambda f, cast: (
        lambda x, a, b: f(x, [a, b], order=1), [cast(draw(4, 5)), cast(2 * inside(6)), cast(3 * inside(6, seed=1))]
    ),
    **dict.fromkeys(("scipy.signal.convolve", "scipy.signal.correlate"), plain(draw(6), draw(3, seed=1))),
    **dict.fromkeys(("scipy.signal.convolve2d", "scipy.signal.correlate2d"), plain(draw(4, 5), draw(2, 3, seed=1))),
    "scipy.signal.fftconvolve": plain(draw(6), draw(3, seed=1)),
    "scipy.sparse.linalg.bicgstab": lambda f, cast: (lambda a, b: f(a, b)[0], [cast(positive(3)), cast(draw(3))]),
    "scipy.sparse.linalg.cg": lambda f, cast: (lambda a, b: f(a, b)[0], [cast(positive(3)), cast(draw(3))]),
    "scipy.sparse.linalg.gmres": lambda f, cast: (lambda a, b: f(a, b)[0], [cast(positive(3)), cast(draw(3))]),
    # jax.scipy.special
    "scipy.special.bessel_jn": lambda f, cast: (lambda x: f(x, v=2), [cast(1 + 4 * inside(5))]),
    "scipy.special.betainc": lambda f, cast: (lambda x: f(*map(cast, TWO), x), [cast(PARTS)]),
    "scipy.special.boxcox": plain(PARTS, draw(3, 4)),
    "scipy.special.comb": plain(5 + PARTS, 2 + PARTS),
    **{f"scipy.stats.expon.{f}": plain(PARTS) for f in ("cdf", "logcdf", "logpdf", "logsf", "pdf", "ppf", "sf")},
    "scipy.special.exp1": plain(1 + PARTS), "scipy.special.expi": plain(1 + PARTS),
    "scipy.special.expn": first(2, arrays=(1 + PARTS,)),
    "scipy.special.fresnel": plain(PARTS),
    "scipy.special.hyp1f1": plain(*TWO, PARTS),
    "scipy.special.hyp2f1": plain(PARTS, *TWO, 0.5 * PARTS),
    "scipy.special.multigammaln": then(3 + PARTS, after=(2,)),
    "scipy.special.poch": plain(*TWO),
    "scipy.special.polygamma": first(2, arrays=(PARTS,)),
    "scipy.special.sph_harm_y": lambda f, cast: (
        lambda a, b: jnp.real(f(np.array([2]), np.array([1]), a, b, n_max=3)),
        [cast(inside(1)), cast(inside(1, seed=1))],
    ),
    "scipy.special.zeta": first(3.0, arrays=(1 + PARTS,)),
    **dict.fromkeys(
        ("scipy.special.digamma", "scipy.special.gammaln", "scipy.special.loggamma", "scipy.special.gamma",
         "scipy.special.factorial", "lax.digamma", "lax.lgamma"), plain(0.2 + 4 * inside(3, 4)),
    ),
    "scipy.special.beta": plain(*TWO),
    "scipy.special.gammasgn": plain(draw(5)),
    # jax.scipy.stats
    **{f"scipy.stats.bernoulli.{f}": counted(PARTS, numbers=COUNTS % 2) for f in ("cdf", "logpmf", "pmf")},
    **{f"scipy.stats.betabinom.{f}": lambda f, cast: (lambda a, b: f(COUNTS, 6, a, b), [cast(x) for x in TWO])
       for f in ("logpmf", "pmf")},
    **{f"scipy.stats.binom.{f}": lambda f, cast: (lambda p: f(COUNTS, 6, p), [cast(PARTS)]) for f in ("logpmf", "pmf")},
    **{f"scipy.stats.geom.{f}": counted(PARTS, numbers=1 + COUNTS) for f in ("logpmf", "pmf")},
    **{f"scipy.stats.nbinom.{f}": lambda f, cast: (lambda p: f(COUNTS, 4, p), [cast(PARTS)])
       for f in ("logpmf", "pmf")},
    **{f"scipy.stats.poisson.{f}": counted(1 + 3 * PARTS) for f in ("cdf", "logpmf", "pmf")},
    "scipy.stats.poisson.entropy": plain(1 + 3 * PARTS),
    **{f"scipy.stats.multinomial.{f}": lambda f, cast: (lambda p: f(np.array([1, 2, 0]), 3, p), [cast(SUM_TO_ONE)])
       for f in ("logpmf", "pmf")},
    **{f"scipy.stats.dirichlet.{f}": lambda f, cast: (
        lambda x, a: f(x / jnp.sum(x), a), [cast(SUM_TO_ONE), cast(1 + inside(3))]
    ) for f in ("logpdf", "pdf")},
    **{f"scipy.stats.multivariate_normal.{f}": plain(draw(2, 3), draw(3, seed=1), positive(3))
       for f in ("logpdf", "pdf")},
    **{f"scipy.stats.truncnorm.{f}": plain(2 * PARTS - 1, -1 - PARTS, 1 + PARTS)
       for f in ("cdf", "logcdf", "logpdf", "logsf", "pdf", "sf")},
    **{f"scipy.stats.pareto.{f}": plain(1.5 + PARTS, 1 + PARTS)
       for f in ("cdf", "logcdf", "logpdf", "logsf", "pdf", "sf")},
    **{f"scipy.stats.gamma.{f}": plain(1 + 3 * PARTS, 1 + draw(3, 4) ** 2)
       for f in ("cdf", "logcdf", "logpdf", "logsf", "pdf", "sf")},
    **{f"scipy.stats.chi2.{f}": plain(1 + 3 * PARTS, 1 + draw(3, 4) ** 2)
       for f in ("cdf", "logcdf", "logpdf", "logsf", "pdf", "sf")},
    **{f"scipy.stats.beta.{f}": lambda f, cast: (lambda x: f(x, *map(cast, TWO)), [cast(PARTS)])
       for f in ("cdf", "logcdf", "logsf", "sf")},
    **{f"scipy.stats.beta.{f}": plain(PARTS, *TWO) for f in ("logpdf", "pdf")},
}  # fmt: skip

REASONS: dict[str, str] = {
    **dict.fromkeys((
        *(f"scipy.linalg.{f}" for f in ("dft", "hadamard", "helmert", "hilbert", "invhilbert", "invpascal", "pascal")),
        "numpy.fft.fftfreq", "numpy.fft.rfftfreq", "scipy.special.bernoulli",
    ), CREATES),
    **dict.fromkeys((
        "lax.linalg.cholesky_update", "lax.linalg.symmetric_product", "lax.linalg.hessenberg", "lax.linalg.schur",
        "lax.linalg.householder_product", "lax.linalg.ormqr", "lax.linalg.tridiagonal", "lax.linalg.qdwh",
        "scipy.linalg.hessenberg", "scipy.linalg.schur", "scipy.linalg.sqrtm", "scipy.linalg.polar",
        "scipy.linalg.eigh_tridiagonal", "scipy.linalg.funm", "scipy.linalg.solve_sylvester",
        "scipy.linalg.qr_multiply",
    ), NO_DERIVATIVE),
    "scipy.linalg.rsf2csf": NO_DERIVATIVE,
    "scipy.optimize.minimize": NO_DERIVATIVE,
    "numpy.linalg.eig": "JAX has derivatives of the eigenvalues only, which eigvals has",
}  # fmt: skip
