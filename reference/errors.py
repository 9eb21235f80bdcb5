"""The error functions: E(o, t), the error box's sensitivity, and the spelling in each framework.

o has shape (..., examples, outputs); t the same, or (..., examples) where it holds class numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gradagree.reference.binary import BinaryCrossEntropy as BinaryCrossEntropy
from gradagree.reference.binary import BinaryCrossEntropyOnLogits as BinaryCrossEntropyOnLogits
from gradagree.reference.binary import BinarySparsemax as BinarySparsemax
from gradagree.reference.binary import SigmoidFocal as SigmoidFocal
from gradagree.reference.class_margins import MulticlassHinge as MulticlassHinge
from gradagree.reference.class_margins import MulticlassPerceptron as MulticlassPerceptron
from gradagree.reference.class_margins import MultilabelMargin as MultilabelMargin
from gradagree.reference.class_margins import MultilabelSoftMargin as MultilabelSoftMargin
from gradagree.reference.class_margins import MultiMargin as MultiMargin
from gradagree.reference.contract import ErrorFunction
from gradagree.reference.contrastive import Ntxent as Ntxent
from gradagree.reference.divergences import GeneralizedKl as GeneralizedKl
from gradagree.reference.divergences import KlDiv as KlDiv
from gradagree.reference.divergences import KlDivOfLogs as KlDivOfLogs
from gradagree.reference.embeddings import CosineDistance as CosineDistance
from gradagree.reference.embeddings import CosineEmbedding as CosineEmbedding
from gradagree.reference.embeddings import PairwiseDistance as PairwiseDistance
from gradagree.reference.likelihoods import GaussianNll as GaussianNll
from gradagree.reference.likelihoods import PoissonNll as PoissonNll
from gradagree.reference.likelihoods import PoissonNllOfRates as PoissonNllOfRates
from gradagree.reference.margins import Hinge as Hinge
from gradagree.reference.margins import HingeEmbedding as HingeEmbedding
from gradagree.reference.margins import MarginRanking as MarginRanking
from gradagree.reference.margins import Perceptron as Perceptron
from gradagree.reference.margins import SoftMargin as SoftMargin
from gradagree.reference.multiclass import Nll as Nll
from gradagree.reference.multiclass import PolyCrossEntropy as PolyCrossEntropy
from gradagree.reference.multiclass import SoftCrossEntropy as SoftCrossEntropy
from gradagree.reference.multiclass import SoftmaxCrossEntropy as SoftmaxCrossEntropy
from gradagree.reference.parameters import Reduction
from gradagree.reference.reductions import _EntryByEntry
from gradagree.reference.regression import HalfSquared as HalfSquared
from gradagree.reference.regression import LogCosh as LogCosh
from gradagree.reference.regression import Quantile as Quantile
from gradagree.reference.regression import SmoothL1 as SmoothL1
from gradagree.reference.segmentation import BinaryDice as BinaryDice
from gradagree.reference.segmentation import Dice as Dice
from gradagree.reference.segmentation import DiceOfProbabilities as DiceOfProbabilities
from gradagree.reference.segmentation import GeneralizedDice as GeneralizedDice
from gradagree.reference.sparsemax import MulticlassSparsemax as MulticlassSparsemax
from gradagree.reference.triplets import TripletMargin as TripletMargin
from gradagree.reference.triplets import TripletMarginOfSquares as TripletMarginOfSquares

EXAMPLES_AND_OUTPUTS = (-2, -1)


class SumOfSquares(ErrorFunction):
    """E = sum_i (o_i - t_i)^2."""

    name = "sse"

    def value(self, o: Any, t: Any) -> Any:
        return np.sum((o - t) ** 2, axis=EXAMPLES_AND_OUTPUTS)

    def sensitivity(self, o: Any, t: Any) -> Any:
        return 2 * (o - t)

    def torch(self, o, t, torch):
        return torch.nn.functional.mse_loss(o, t, reduction="sum")

    def jax(self, o, t, jax):
        return jax.numpy.sum((o - t) ** 2)


class MeanSquared(_EntryByEntry):
    """E = mean_i (o_i - t_i)^2."""

    name = "mse"

    def _entry(self, o: Any, t: Any) -> Any:
        return (o - t) ** 2

    def _slope(self, o: Any, t: Any) -> Any:
        return 2 * (o - t)

    def torch(self, o, t, torch):
        return self._gathered(torch.nn.functional.mse_loss(o, t, reduction=self.reduction), torch.as_tensor)

    def jax(self, o, t, jax):
        return self._gathered((o - t) ** 2, jax.numpy.asarray)

    def optax(self, o, t, optax, jax):
        return self._gathered(optax.squared_error(o, t), jax.numpy.asarray)


class Absolute(_EntryByEntry):
    """E = sum_i |o_i - t_i|."""

    reduction: Reduction = "sum"

    def _entry(self, o: Any, t: Any) -> Any:
        return np.abs(o - t)

    def _slope(self, o: Any, t: Any) -> Any:
        return np.sign(o - t)

    def kink(self, o: Any, t: Any) -> Any:
        return o == t

    def torch(self, o, t, torch):
        return self._gathered(torch.nn.functional.l1_loss(o, t, reduction=self.reduction), torch.as_tensor)

    def jax(self, o, t, jax):
        return self._gathered(jax.numpy.abs(o - t), jax.numpy.asarray)


class Huber(_EntryByEntry):
    """E = mean_i h(o_i - t_i), h(d) = d^2/2 where |d| <= delta, else delta (|d| - delta/2)."""

    delta: float = 1.0

    def _entry(self, o: Any, t: Any) -> Any:
        d = np.abs(o - t)
        return np.where(d <= self.delta, 0.5 * d**2, self.delta * (d - 0.5 * self.delta))

    def _slope(self, o: Any, t: Any) -> Any:
        return np.minimum(np.maximum(o - t, -self.delta), self.delta)

    def torch(self, o, t, torch):
        e = torch.nn.functional.huber_loss(o, t, reduction=self.reduction, delta=self.delta)
        return self._gathered(e, torch.as_tensor)

    def jax(self, o, t, jax):
        jnp = jax.numpy
        d = jnp.abs(o - t)
        near = jnp.where(d <= self.delta, d, 0)
        e = jnp.where(d <= self.delta, 0.5 * near**2, self.delta * (d - 0.5 * self.delta))
        return self._gathered(e, jnp.asarray)

    def optax(self, o, t, optax, jax):
        return self._gathered(optax.huber_loss(o, t, delta=self.delta), jax.numpy.asarray)
