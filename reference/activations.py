"""The smooth activations: the formula, its derivative, its kinks, and its spelling in each framework."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import erf, expit

from gradagree.reference.contract import Activation
from gradagree.reference.elementary import AbsoluteValue as AbsoluteValue
from gradagree.reference.elementary import Cos as Cos
from gradagree.reference.elementary import Exp as Exp
from gradagree.reference.elementary import Gaussian as Gaussian
from gradagree.reference.elementary import Log as Log
from gradagree.reference.elementary import Reciprocal as Reciprocal
from gradagree.reference.elementary import Sin as Sin
from gradagree.reference.elementary import Sqrt as Sqrt
from gradagree.reference.elementary import Square as Square
from gradagree.reference.normalising import LayerNorm as LayerNorm
from gradagree.reference.normalising import Normalize as Normalize
from gradagree.reference.normalising import RmsNorm as RmsNorm
from gradagree.reference.normalising import Standardize as Standardize
from gradagree.reference.piecewise import Clip as Clip
from gradagree.reference.piecewise import Elu as Elu
from gradagree.reference.piecewise import Hardtanh as Hardtanh
from gradagree.reference.piecewise import LeakyRelu as LeakyRelu
from gradagree.reference.piecewise import MaximumZero as MaximumZero
from gradagree.reference.piecewise import Prelu as Prelu
from gradagree.reference.piecewise import PreluByColumn as PreluByColumn
from gradagree.reference.piecewise import Relu as Relu
from gradagree.reference.piecewise import Relu6 as Relu6
from gradagree.reference.rectifiers import Celu as Celu
from gradagree.reference.rectifiers import Rrelu as Rrelu
from gradagree.reference.rectifiers import Selu as Selu
from gradagree.reference.rectifiers import SparsePlus as SparsePlus
from gradagree.reference.rectifiers import Threshold as Threshold
from gradagree.reference.shrinking import Dropout as Dropout
from gradagree.reference.shrinking import Hardshrink as Hardshrink
from gradagree.reference.shrinking import Hardsigmoid as Hardsigmoid
from gradagree.reference.shrinking import Hardswish as Hardswish
from gradagree.reference.shrinking import Softshrink as Softshrink
from gradagree.reference.shrinking import SparseSigmoid as SparseSigmoid
from gradagree.reference.shrinking import Tanhshrink as Tanhshrink
from gradagree.reference.sigmoidal import Asinh as Asinh
from gradagree.reference.sigmoidal import Atan as Atan
from gradagree.reference.sigmoidal import Erf as Erf
from gradagree.reference.sigmoidal import Softsign as Softsign
from gradagree.reference.softened import Log1mexp as Log1mexp
from gradagree.reference.softened import LogSigmoid as LogSigmoid
from gradagree.reference.softened import Mish as Mish
from gradagree.reference.softened import SoftplusThreshold as SoftplusThreshold
from gradagree.reference.softened import Squareplus as Squareplus
from gradagree.reference.vectors import Glu as Glu
from gradagree.reference.vectors import GumbelSoftmax as GumbelSoftmax
from gradagree.reference.vectors import Logmeanexp as Logmeanexp
from gradagree.reference.vectors import LogSoftmax as LogSoftmax
from gradagree.reference.vectors import Logsumexp as Logsumexp
from gradagree.reference.vectors import Softmax as Softmax
from gradagree.reference.vectors import Softmin as Softmin

ROOT_2 = float(np.sqrt(2.0))
ROOT_2_PI = float(np.sqrt(2.0 * np.pi))
ROOT_2_OVER_PI = float(np.sqrt(2.0 / np.pi))


class Identity(Activation):
    """A(p) = p."""

    name = "id"

    def value(self, p: Any) -> Any:
        return p

    def derivative(self, p: Any) -> Any:
        return np.ones_like(p)

    def torch(self, p, torch):
        return p

    def jax(self, p, jax):
        return p


class Tanh(Activation):
    """A(p) = tanh p."""

    def value(self, p: Any) -> Any:
        return np.tanh(p)

    def derivative(self, p: Any) -> Any:
        return 1 - np.tanh(p) ** 2

    def torch(self, p, torch):
        return torch.tanh(p)

    def jax(self, p, jax):
        return jax.numpy.tanh(p)


class Sigmoid(Activation):
    """A(p) = s(p) = 1 / (1 + exp(-p))."""

    range = "unit"

    def value(self, p: Any) -> Any:
        return expit(p)

    def derivative(self, p: Any) -> Any:
        return expit(p) * (1 - expit(p))

    def torch(self, p, torch):
        return torch.sigmoid(p)

    def jax(self, p, jax):
        return jax.nn.sigmoid(p)


class Softplus(Activation):
    """A(p) = log(1 + exp(beta p)) / beta."""

    beta: float = 1.0
    range = "positive"

    def value(self, p: Any) -> Any:
        return np.logaddexp(self.beta * p, 0) / self.beta

    def derivative(self, p: Any) -> Any:
        return expit(self.beta * p)

    def torch(self, p, torch):
        # Above its threshold torch returns p, which at the default of 20 is another function by 2e-9; past 64 by 1e-28.
        return torch.nn.functional.softplus(p, beta=self.beta, threshold=64)

    def jax(self, p, jax):
        return jax.nn.softplus(self.beta * p) / self.beta


class Silu(Activation):
    """A(p) = p s(p), also called swish."""

    def value(self, p: Any) -> Any:
        return p * expit(p)

    def derivative(self, p: Any) -> Any:
        s = expit(p)
        return s * (1 + p * (1 - s))

    def torch(self, p, torch):
        return torch.nn.functional.silu(p)

    def jax(self, p, jax):
        return jax.nn.silu(p)


class Gelu(Activation):
    """A(p) = p/2 (1 + erf(p / sqrt 2))."""

    def value(self, p: Any) -> Any:
        return p * 0.5 * (1 + erf(p / ROOT_2))

    def derivative(self, p: Any) -> Any:
        return 0.5 * (1 + erf(p / ROOT_2)) + p * np.exp(-0.5 * p**2) / ROOT_2_PI

    def torch(self, p, torch):
        return torch.nn.functional.gelu(p, approximate="none")

    def jax(self, p, jax):
        return jax.nn.gelu(p, approximate=False)


class GeluTanh(Activation):
    """A(p) = p/2 (1 + tanh z), z = sqrt(2/pi) (p + 0.044715 p^3)."""

    def _tanh(self, p: Any) -> Any:
        return np.tanh(ROOT_2_OVER_PI * (p + 0.044715 * p**3))

    def value(self, p: Any) -> Any:
        return p * 0.5 * (1 + self._tanh(p))

    def derivative(self, p: Any) -> Any:
        y = self._tanh(p)
        slope = ROOT_2_OVER_PI * (1 + 3 * (0.044715 * p**2))
        return 0.5 * (1 + y) + p * 0.5 * (1 - y**2) * slope

    def torch(self, p, torch):
        return torch.nn.functional.gelu(p, approximate="tanh")

    def jax(self, p, jax):
        return jax.nn.gelu(p, approximate=True)
