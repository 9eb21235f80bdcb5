"""An adapter for another framework: tape, reverse mode in forty lines of NumPy, in this file.

    gradagree run --ext examples/adapter.py --frameworks tape --activations tanh,sigmoid,bump --errors sse --cases 20

The adapter, ForTape, has a name, converts arrays (`array` and `back`), and has `modes`: functions that turn a loss into
its gradient. The forward pass, the taps and the probes are inherited. An activation with a method `tape` follows the
adapter.
"""

import types

import ml_dtypes  # NumPy's bfloat16
import numpy as np

from gradagree import Activation, Adapter


class Tensor:
    """An array with its sources: pairs of a tensor and the vjp that returns the cotangent of that tensor."""

    def __init__(self, x, *made_from):
        self.x, self.made_from, self.gradient = x, made_from, np.zeros_like(x)

    def __add__(self, other):
        return Tensor(self.x + other.x, (self, lambda d: _like(self, d)), (other, lambda d: _like(other, d)))

    def __neg__(self):
        return Tensor(-self.x, (self, lambda d: -d))

    def __sub__(self, other):
        return self + -other

    def __mul__(self, other):
        other = other if isinstance(other, Tensor) else Tensor(np.asarray(other))
        return Tensor(
            self.x * other.x, (self, lambda d: _like(self, d * other.x)), (other, lambda d: _like(other, d * self.x))
        )

    def __matmul__(self, other):
        return Tensor(self.x @ other.x, (self, lambda d: d @ other.x.T), (other, lambda d: self.x.T @ d))

    def sum(self):
        return Tensor(np.sum(self.x), (self, lambda d: np.broadcast_to(d, self.x.shape)))


def _like(tensor, d):
    """A gradient summed over the examples that a bias was spread over."""
    return d if d.shape == tensor.x.shape else d.sum(axis=0)


def tanh(p):
    """The tensor of tanh p."""
    y = np.tanh(p.x)
    return Tensor(y, (p, lambda d: d * (1 - y * y)))


def sigmoid(p):
    """The tensor of 1 / (1 + exp(-p))."""
    y = 1 / (1 + np.exp(-p.x))
    return Tensor(y, (p, lambda d: d * y * (1 - y)))


def gradient_of(error, leaves):
    """dE/dleaf for each leaf: tensors propagate their gradients in reverse topological order."""
    order, seen = [], set()

    def visit(tensor):
        if id(tensor) not in seen:
            seen.add(id(tensor))
            for source, _ in tensor.made_from:
                visit(source)
            order.append(tensor)

    visit(error)
    error.gradient = np.ones_like(error.x)
    for tensor in reversed(order):
        for source, vjp in tensor.made_from:
            source.gradient = source.gradient + vjp(tensor.gradient)
    return [leaf.gradient for leaf in leaves]


tape = types.SimpleNamespace(__version__="1.0", Tensor=Tensor, tanh=tanh, sigmoid=sigmoid, gradient_of=gradient_of)


def backward(error, per_example):
    """Reverse mode."""

    def gradient(leaves, targets):
        E, seen = error(leaves, targets)
        return (E, seen), tape.gradient_of(E, leaves)

    return gradient


class ForTape(Adapter):
    """Adapter of tape: its tensors, modes, and implementations of functions without a method `tape`."""

    name = "tape"
    install = "part of this file"
    modes = {"backward": backward}
    implementations = {
        "id": lambda function, p: p,
        "tanh": lambda function, p: tape.tanh(p),
        "sigmoid": lambda function, p: tape.sigmoid(p),
        "sse": lambda function, o, t: ((o - t) * (o - t)).sum(),
    }

    def __init__(self):
        self.framework = tape

    def array(self, x, dtype):
        return tape.Tensor(x.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype))

    def back(self, x):
        return np.asarray(getattr(x, "x", x)).astype(np.float64)

    def apply(self, function, arrays, compiled):
        with np.errstate(all="ignore"):
            return function(*arrays)


class Bump(Activation):
    """A(p) = 1 - tanh^2 p, with its own implementation in tape."""

    def value(self, p):
        return (1 - np.tanh(p)) * (1 + np.tanh(p))

    def derivative(self, p):
        y = np.tanh(p)
        return -2 * y * (1 - y) * (1 + y)

    def tape(self, p, tape):
        y = tape.tanh(p)
        one = tape.Tensor(np.ones_like(y.x))
        return (one - y) * (one + y)
