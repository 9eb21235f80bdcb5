"""The numbers again, from the definitions of SeedSequence and PCG64 in whole numbers of Python alone."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator

import numpy as np
import pytest

from gradagree.cases.case import Case
from gradagree.cases.regimes import Source

WORD, DOUBLE, QUADRUPLE = 2**32, 2**64, 2**128
MULTIPLIER = 0x2360ED051FC65DA44385DF649FCCF645
"""Of the linear congruential generator: M. O'Neill, PCG, HMC-CS-2014-0905."""


def seed_words(entropy: int, count: int) -> list[int]:
    """The 32-bit words that numpy.random.SeedSequence(entropy) makes, as its specification says."""
    words = [entropy >> shift & WORD - 1 for shift in range(0, max(entropy.bit_length(), 1), 32)]
    words += [0] * (4 - len(words))
    constants = scramblers(0x43B0D7E5, 0x931E8875)

    def scramble(word: int) -> int:
        before, after = next(constants)
        word = (word ^ before) * after % WORD
        return word ^ word >> 16

    def mix(x: int, y: int) -> int:
        mixed = (0xCA01F9DD * x - 0x4973F715 * y) % WORD
        return mixed ^ mixed >> 16

    pool = [scramble(word) for word in words[:4]]
    for source, target in itertools.product(range(4), repeat=2):
        if source != target:
            pool[target] = mix(pool[target], scramble(pool[source]))
    for word, target in itertools.product(words[4:], range(4)):
        pool[target] = mix(pool[target], scramble(word))
    made = [(word ^ before) * after % WORD for word, (before, after) in zip(
        itertools.islice(itertools.cycle(pool), count), scramblers(0x8B51F9DD, 0x58F38DED), strict=False
    )]  # fmt: skip
    return [word ^ word >> 16 for word in made]


def scramblers(constant: int, factor: int) -> Iterator[tuple[int, int]]:
    while True:
        yield constant, (constant := constant * factor % WORD)


def pcg64(text: str) -> Iterator[int]:
    """The raw 64-bit numbers of PCG64 (XSL RR 128/64), seeded with the SHA-256 of a text."""
    words = seed_words(int(hashlib.sha256(text.encode()).hexdigest(), 16), 8)
    doubles = [words[k] + words[k + 1] * WORD for k in range(0, 8, 2)]
    increment = (2 * (doubles[2] * DOUBLE + doubles[3]) + 1) % QUADRUPLE
    state = ((increment + doubles[0] * DOUBLE + doubles[1]) * MULTIPLIER + increment) % QUADRUPLE
    while True:
        state = (state * MULTIPLIER + increment) % QUADRUPLE
        folded, turn = (state >> 64 ^ state) % DOUBLE, state >> 122
        yield (folded >> turn | folded << (64 - turn)) % DOUBLE


def integers(raw: Iterator[int], bound: int, count: int) -> list[int]:
    return [(next(raw) >> 32) * bound >> 32 for _ in range(count)]


@pytest.mark.parametrize("text", ["", "a", "architecture 0 0", "10-4-6-8-4:id,tanh*3:sse:n8:f32:grid:s93"])
@pytest.mark.parametrize("bound", [2, 17, 65535, 10**9, 2**31])
def test_that_the_stream_of_a_text_is_that_of_the_published_generator(text: str, bound: int) -> None:
    assert Source(text).integers(bound, (20,)).tolist() == integers(pcg64(text), bound, 20)


@pytest.mark.parametrize("seed", range(5))
def test_that_a_case_on_the_grid_can_be_made_again_by_hand(seed: int) -> None:
    text = f"3-4b-2:id,tanh:sse:n5:f64:grid:s{seed}"
    arrays, raw = Case.parse(text).arrays(), pcg64(text)
    by_hand = [[(k - 4) / 4 for k in integers(raw, 9, n)] for n in (3 * 4, 4 * 2)]
    by_hand += [[(k - 8) / 4 for k in integers(raw, 17, n)] for n in (4, 5 * 3, 5 * 2)]
    drawn = [*arrays.weights, arrays.biases[0], arrays.inputs, arrays.targets]
    assert [np.asarray(x).ravel().tolist() for x in drawn] == by_hand


@pytest.mark.parametrize(("short", "bits"), [("f64", 16), ("f32", 16), ("f16", 11), ("bf16", 8)])
def test_that_an_ordinary_case_can_be_made_again_by_hand(short: str, bits: int) -> None:
    text = f"16-3:id:cross_entropy:n5:{short}:ordinary:s1"
    arrays, raw = Case.parse(text).arrays(), pcg64(text)
    half = 2 ** (bits - 1)
    # Weights reach 2 / sqrt(16) = 1/2, inputs 2.
    weights = [(k - (half - 1)) * 0.5 / half for k in integers(raw, 2 * half - 1, 16 * 3)]
    inputs = [(k - (half - 1)) * 2.0 / half for k in integers(raw, 2 * half - 1, 5 * 16)]
    assert arrays.weights[0].ravel().tolist() == weights
    assert arrays.inputs.ravel().tolist() == inputs
    assert arrays.targets.tolist() == integers(raw, 3, 5)


def test_that_a_case_of_zeros_can_be_made_again_by_hand() -> None:
    text = "4-3:id:sse:n5:f32:zeros:s2"
    arrays, raw = Case.parse(text).arrays(), pcg64(text)
    for array, reach in ((arrays.weights[0], 1.0), (arrays.inputs, 2.0), (arrays.targets, 2.0)):
        kept = integers(raw, 2, array.size)
        some = integers(raw, 4, 1)[0] > 0
        by_hand = [(k - 32767) * reach / 32768 * (keep and some) for k, keep in zip(
            integers(raw, 65535, array.size), kept, strict=True
        )]  # fmt: skip
        assert array.ravel().tolist() == by_hand
        assert np.signbit(array).ravel().tolist() == np.signbit(by_hand).tolist()
