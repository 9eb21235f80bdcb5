"""Layers with hand-written values and vjps, by topic; importing this package registers them."""

from gradagree.reference.layers import (
    alignment as alignment,
    attention as attention,
    convolution as convolution,
    linear as linear,
    mixtures as mixtures,
    normalisation as normalisation,
    pooling as pooling,
    recurrent as recurrent,
    resampling as resampling,
    scans as scans,
    structure as structure,
)
