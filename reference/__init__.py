"""The answer by hand: boxes, activations, error functions."""

from gradagree.reference import activations as activations
from gradagree.reference import errors as errors
from gradagree.reference.boxes import Answer as Answer
from gradagree.reference.boxes import Box as Box
from gradagree.reference.boxes import ErrorBox as ErrorBox
from gradagree.reference.boxes import Gradient as Gradient
from gradagree.reference.boxes import backpropagate as backpropagate
from gradagree.reference.boxes import network as network
from gradagree.reference.contract import Activation as Activation
from gradagree.reference.contract import ContractError as ContractError
from gradagree.reference.contract import ErrorFunction as ErrorFunction
from gradagree.reference.contract import Operation as Operation
from gradagree.reference.contract import Weight as Weight
from gradagree.reference.contract import Weights as Weights
