"""A case and its text stand for one another; its hash is of every bit of its numbers."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import replace
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
import pytest
from hypothesis import assume, given, strategies as st

from gradagree.arithmetic.model import FORMATS
from gradagree.cases.case import LOSS_WEIGHTS, Arrays, Case
from gradagree.cases.regimes import REGIMES
from gradagree.reference import Activation, ErrorFunction
from gradagree.reference.activations import Elu, Hardtanh, Identity, LeakyRelu, Tanh
from gradagree.reference.errors import Huber, SoftmaxCrossEntropy, SumOfSquares
from gradagree.reference.samples import allowed_width

CLASSIC = "10-4-6-8-4:id,tanh*3:sse:n8:f32:grid:s93"
SEED_DIGITS = 18
PARAMETERS = st.floats(allow_nan=False, allow_infinity=False)


def ours(base: Any) -> list[Any]:
    """The functions of the reference, without those that other tests define."""
    return [kind for kind in base.catalogue.values() if kind.__module__.startswith("gradagree.reference")]


def values(kind: Any, field: Any) -> st.SearchStrategy[Any]:
    """What a parameter may be: its choices, any number of its type, or its default."""
    choices, standard = get_type_hints(kind)[field.name], st.just(field.default)
    if get_origin(choices) is Literal:
        return st.sampled_from(get_args(choices))
    if isinstance(field.default, tuple):
        return standard
    return standard | (st.integers(-(10**9), 10**9) if type(field.default) is int else PARAMETERS)


@functools.cache
def functions(base: Any) -> st.SearchStrategy[Any]:
    """Every function, with any parameters or with its defaults."""
    made = []
    for kind in ours(base):
        made.append(st.builds(kind, **{field.name: values(kind, field) for field in dataclasses.fields(kind)}))
    return st.one_of(made)


@st.composite
def cases(draw: Any) -> Case:
    weights = draw(st.integers(1, 5))
    widths = draw(st.lists(st.integers(1, 999), min_size=weights + 1, max_size=weights + 1))
    boxes = weights + draw(st.integers(0, 1))
    biases = draw(st.lists(st.booleans(), min_size=weights, max_size=weights))
    seeds = st.integers(0, 10**SEED_DIGITS - 1) | st.from_regex("[0-9a-f]{12}", fullmatch=True)
    activations = tuple(draw(st.lists(functions(Activation), min_size=boxes, max_size=boxes)))
    error = draw(functions(ErrorFunction))
    within = [*activations, *[Identity()] * (len(widths) - boxes)]
    fitting = tuple(allowed_width(a, 6 * width) for a, width in zip(within, widths, strict=True))
    out = activations[-1].width(fitting[-1]) if boxes > weights else fitting[-1]
    assume(error.width(out) is not None)
    return Case(
        fitting, activations, error, draw(st.integers(1, 999)), draw(st.sampled_from(sorted(FORMATS))),
        draw(st.sampled_from(sorted(REGIMES))), draw(seeds), tuple(biases),
    )  # fmt: skip


@given(cases())
def test_that_the_text_of_a_case_makes_an_equal_case_with_the_same_text(case: Case) -> None:
    again = Case.parse(case.spec)
    assert (again, again.spec, str(again)) == (case, case.spec, case.spec)
    assert hash(again) == hash(case)


@given(cases(), st.sampled_from(["batch", "seed", "dtype", "regime"]))
def test_that_a_case_that_differs_in_one_thing_has_another_text_and_is_not_equal(case: Case, name: str) -> None:
    others: dict[str, Any] = {"batch": case.batch + 1, "seed": 7 if case.seed != 7 else 8}
    others["dtype"] = "float16" if case.dtype != "float16" else "bfloat16"
    others["regime"] = "grid" if case.regime != "grid" else "zeros"
    other = replace(case, **{name: others[name]})
    assert other.spec != case.spec
    assert other != case


def test_that_the_classic_network_reads_and_counts_as_in_the_derivation() -> None:
    case = Case.parse(CLASSIC)
    assert case == Case((10, 4, 6, 8, 4), (Identity(), *[Tanh()] * 3), SumOfSquares(), 8, "float32", "grid", 93)
    assert (case.spec, case.size, case.depth, case.biases) == (CLASSIC, 40 + 24 + 48 + 32, 4, (False,) * 4)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("2-3:tanh,tanh:sse:n1:f64:grid:s1", "2-3:tanh*2:sse:n1:f64:grid:s1"),
        ("2-3-2:tanh*1,identity:sse:n1:f64:grid:s1", "2-3-2:tanh,id:sse:n1:f64:grid:s1"),
        ("2-3:swish:sum_of_squares:n1:f64:grid:s007", "2-3:silu:sse:n1:f64:grid:s7"),
        (" 2-3:elu( alpha = 2 )*2:huber(delta=1):n1:f64:grid:s1\n", "2-3:elu(alpha=2.0)*2:huber:n1:f64:grid:s1"),
        ("2-3-1:hardtanh(max_val=2,min_val=-2)*2:sse:n1:bf16:zeros:s1",
         "2-3-1:hardtanh(min_val=-2.0,max_val=2.0)*2:sse:n1:bf16:zeros:s1"),
    ],
)  # fmt: skip
def test_that_other_ways_to_write_a_case_come_to_its_canonical_text(text: str, canonical: str) -> None:
    assert Case.parse(text).spec == canonical
    assert Case.parse(text).alias == Case.parse(canonical).alias


@pytest.mark.parametrize("number", [2, np.float64(2), np.float32(2), np.int64(2)], ids=repr)
def test_that_equal_parameters_of_any_type_of_number_give_the_same_text_and_numbers(number: Any) -> None:
    one, other = (Case((2, 3), (Elu(alpha=x),), SumOfSquares(), 1, "float64") for x in (2.0, number))
    assert one == other
    assert one.spec == other.spec
    assert one.arrays().sha256 == other.arrays().sha256


@pytest.mark.parametrize("number", [np.int64(7), np.uint8(7), 7], ids=repr)
def test_that_a_seed_of_any_type_of_whole_number_is_a_seed(number: Any) -> None:
    case = Case((2, 3), (Tanh(),), SumOfSquares(), 1, "float64", seed=number)
    assert case.spec.endswith(":s7")


def test_that_widths_biases_parameters_and_an_output_activation_are_read() -> None:
    activations = "id,leaky_relu(negative_slope=0.25),hardtanh(min_val=-0.5,max_val=3.0)*2"
    text = f"7-5b-3-1b:{activations}:huber(delta=0.5):n4:f16:zeros:s0"
    case = Case.parse(text)
    assert case.widths == (7, 5, 3, 1)
    assert case.biases == (True, False, True)
    assert case.activations == (Identity(), LeakyRelu(negative_slope=0.25), *[Hardtanh(min_val=-0.5, max_val=3.0)] * 2)
    assert (case.error, case.batch, case.dtype, case.seed) == (Huber(delta=0.5), 4, "float16", 0)
    assert (case.depth, case.size, case.spec) == (4, 7 * 5 + 5 + 5 * 3 + 3 + 1, text)


@given(cases())
def test_that_an_alias_is_six_digits(case: Case) -> None:
    assert len(case.alias) == 6
    assert case.alias.isdecimal()
    assert case.alias == Case.parse(case.spec).alias


def arrays_of(text: str) -> Arrays:
    return Case.parse(text).arrays()


def test_that_arrays_have_the_shapes_of_their_boxes_and_their_names() -> None:
    shapes = {name: array.shape for name, array in arrays_of("3-4b-2:id,tanh:sse:n5:f64:ordinary:s1").by_name.items()}
    assert shapes == {"inputs": (5, 3), "targets": (5, 2), "w1": (3, 4), "b1": (4,), "w2": (4, 2)}
    assert list(shapes) == ["inputs", "targets", "w1", "b1", "w2"]


@pytest.mark.parametrize("name", ["inputs", "targets", "w1", "b1", "w2"])
def test_that_the_hash_changes_with_the_last_bit_of_any_array(name: str) -> None:
    text = "3-4b-2:id,tanh:sse:n5:f64:ordinary:s1"
    before, changed = arrays_of(text), arrays_of(text)
    array = changed.by_name[name]
    array.flat[-1] = np.nextafter(array.flat[-1], np.inf)
    assert changed.sha256 != before.sha256


def test_that_the_hash_knows_shapes_and_places() -> None:
    one, two, three = np.arange(6.0).reshape(2, 3), np.arange(6.0).reshape(3, 2), np.arange(3.0)
    arrays = [
        Arrays((one,), (None,), two, two), Arrays((two,), (None,), two, two), Arrays((two,), (None,), one, two),
        Arrays((one, two), (None, None), two, two), Arrays((one,), (three,), two, two),
        Arrays((one,), (None,), two, two.astype(np.int64)), Arrays((-one,), (None,), two, two),
    ]  # fmt: skip
    assert len({a.sha256 for a in arrays}) == len(arrays)


def test_that_the_hash_is_the_same_for_every_layout_and_byte_order_in_memory() -> None:
    there = arrays_of("3-4b-2:id,tanh:cross_entropy:n5:f64:ordinary:s1")
    weights = tuple(np.asfortranarray(w).astype(w.dtype.newbyteorder(">")) for w in there.weights)
    other = Arrays(weights, there.biases, there.inputs[::-1][::-1], there.targets.astype(">i8"))
    assert other.sha256 == there.sha256


def test_that_explicit_arrays_take_the_place_of_the_seed() -> None:
    case = Case.parse("3-4b-2:id,tanh:cross_entropy:n5:f64:ordinary:s1")
    arrays = replace(case.arrays(), inputs=np.zeros((5, 3)))
    explicit = Case.of(case, arrays)
    assert explicit.spec == f"3-4b-2:id,tanh:cross_entropy:n5:f64:explicit:@{arrays.sha256[:12]}"
    assert explicit.arrays() is arrays
    assert explicit.error == SoftmaxCrossEntropy()
    assert Case.parse(explicit.spec, arrays).arrays() is arrays


@pytest.mark.parametrize("loss", sorted(kind.name for kind in ours(ErrorFunction)))
def test_that_the_factor_of_every_loss_is_no_power_of_two(loss: str) -> None:
    width = allowed_width(ErrorFunction.named(loss), 4)
    case = Case.parse(f"3-{width}:id:{loss}:n4:f64:ordinary:s1")
    assert np.frexp(case.loss_weight)[0] != 0.5
    arrays, plain = case.arrays(), ErrorFunction.named(loss)
    o = np.asarray(arrays.inputs @ arrays.weights[0])
    with np.errstate(all="ignore"):
        found, expected = case.network(arrays)(arrays.inputs), case.loss_weight * plain.value(o, arrays.targets)
    assert found == expected or (np.isnan(found) and np.isnan(expected))


def test_that_the_factor_of_the_loss_belongs_to_the_architecture() -> None:
    texts = [f"3-{n}b-2:id,tanh:sse:n8:f32:{regime}:s{seed}" for n, seed, regime in (
        (4, 1, "ordinary"), (4, 2, "grid"), *((n, 1, "ordinary") for n in range(5, 60))
    )]  # fmt: skip
    first, second, *others = (Case.parse(text).loss_weight for text in texts)
    assert first == second == Case.parse(texts[0].replace("f32", "bf16")).loss_weight
    assert {first, *others} == set(LOSS_WEIGHTS)
    case = Case.parse(texts[0])
    assert Case.of(case, case.arrays()).loss_weight == first


def test_that_the_loss_on_a_data_set_has_no_factor() -> None:
    assert Case.parse("10-4-6-8-4:id,tanh*3:sse:n8:f32:diabetes:s93").loss_weight == 1
