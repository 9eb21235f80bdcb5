"""The reference: backpropagation, activations and losses in NumPy."""

from gradagree.reference import activations as activations, errors as errors
from gradagree.reference.boxes import (
    Backpropagation as Backpropagation,
    Box as Box,
    ErrorBox as ErrorBox,
    Gradient as Gradient,
    backpropagate as backpropagate,
    network as network,
)
from gradagree.reference.contract import (
    Activation as Activation,
    ErrorFunction as ErrorFunction,
    Operation as Operation,
)
from gradagree.reference.layer import Layer as Layer
from gradagree.reference.parameters import ContractError as ContractError, Weight as Weight, Weights as Weights
