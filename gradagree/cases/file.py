"""Case files: a case with explicit arrays as JSON, with numbers as hexadecimal floats."""

from __future__ import annotations

import json
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from gradagree.arithmetic.model import FORMATS
from gradagree.arithmetic.rounding import round_to_precision
from gradagree.cases.case import Arrays, Case, target_shape
from gradagree.cases.graph_case import AnyCase, GraphCase, parse_case
from gradagree.cases.regimes import round_subnormal
from gradagree.errors import UsageError, in_one_line
from gradagree.files import write_text
from gradagree.reference.architecture import BOOLEANS, INTEGERS
from gradagree.reference.graph import INPUTS, TARGETS

CASES = "cases"
"""The folder of case files within a results folder."""
LARGEST_FILE = 1 << 30


def case_path(folder: Path, case: AnyCase) -> Path:
    """The path in a results folder of a case with explicit arrays."""
    return folder / CASES / f"{case.seed}.{FORMATS[case.dtype].short}.json"


def write_case(case: AnyCase, path: Path) -> None:
    """Write the case's text and its arrays. Raises UsageError where the file cannot be written."""
    arrays = {name: encode_array(array) for name, array in case.arrays().by_name.items()}
    write_text(path, json.dumps({"spec": case.spec, "arrays": arrays}, indent=1) + "\n")


def read_case(path: Path) -> AnyCase:
    """Read a case file. Raises UsageError with the reason if it is not one."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise UsageError(f"{path} is no case file: it is larger than {LARGEST_FILE >> 20} MiB")
        found = json.loads(path.read_text(encoding="utf-8"))
        spec, named = found["spec"], found["arrays"]
        return _assemble(str(spec), {str(name): _decode_named(str(name), array) for name, array in named.items()})
    except OSError as wrong:
        raise UsageError(f"{path} cannot be read: {wrong.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as wrong:
        raise UsageError(f"{path} is no case file: {type(wrong).__name__}: {in_one_line(str(wrong))}") from None


def encode_array(array: np.ndarray) -> dict[str, Any]:
    """An array in the format of a case file."""
    integers = array.dtype.kind in "ib"
    return {"shape": list(array.shape), "values": [int(x) if integers else float(x).hex() for x in array.ravel()]}


def _decode_named(name: str, encoded: Any) -> np.ndarray:
    try:
        return _decode_array(encoded)
    except (ValueError, KeyError, TypeError, OverflowError) as wrong:
        raise ValueError(f"{name}: {wrong}") from None


def _decode_array(encoded: dict[str, Any]) -> np.ndarray:
    values = encoded["values"]
    if any(type(x) is int for x in values):
        array = np.array([_decode_integer(x) for x in values], dtype=np.int64)
    else:
        array = np.array([_decode_float(x) for x in values], dtype=np.float64)
    return array.reshape([int(n) for n in encoded["shape"]])


def _decode_integer(x: Any) -> int:
    if type(x) is not int:
        raise ValueError(f"{x!r} among integers")
    return x


def _decode_float(text: Any) -> float:
    """Parse a hexadecimal float, nan or inf. Raises ValueError if float64 cannot represent it."""
    match = HEXADECIMAL.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no hexadecimal float such as 0x1.8p+1")
    value = float.fromhex(text)
    if match[1] is not None:
        digits, exponent = match[1].replace(".", ""), int(match[2])
        exact = int(digits, 16) * Fraction(2) ** (exponent - 4 * (len(digits) - 1))
        if exact != abs(Fraction(value)):
            raise ValueError(f"{text!r} is no number of float64")
    return value


HEXADECIMAL = re.compile(r"-?(?:0x([01](?:\.[0-9a-f]{1,13})?)p([+-]?\d{1,4})|nan|inf)")


def _assemble(spec: str, named: dict[str, np.ndarray]) -> AnyCase:
    case = parse_case(spec)
    if isinstance(case, GraphCase):
        return _assemble_graph(case, named)
    count = len(case.widths) - 1
    weights = tuple(named.pop(f"w{k}") for k in range(1, count + 1))
    biases = tuple(named.pop(f"b{k}") if biased else None for k, biased in enumerate(case.biases, 1))
    arrays = Arrays(weights, biases, named.pop("inputs"), named.pop("targets"))
    if named:
        raise ValueError(f"arrays that no box has: {', '.join(sorted(named))}")
    check_arrays(case, arrays)
    return Case.of(case, arrays)


def _assemble_graph(case: GraphCase, named: dict[str, np.ndarray]) -> GraphCase:
    """The graph with these arrays: of its shapes and kinds, with numbers that the dtype holds."""
    shapes = {INPUTS: case.shape, TARGETS: target_shape(case.error, case.batch, case.outputs), **case.array_shapes}
    if unknown := sorted(set(named) - set(shapes)):
        raise ValueError(f"arrays that no node has: {', '.join(unknown)}")
    for name, shape in shapes.items():
        array = named[name]
        if array.shape != shape:
            raise ValueError(f"{name} has shape {array.shape}; the case has {shape}")
        whole = case.array_kinds.get(name) in (INTEGERS, BOOLEANS)
        whole = whole or (name == TARGETS and case.error.targets == "classes")
        if array.size and (array.dtype.kind == "i") != whole:
            raise ValueError(f"{name} must hold {'integers' if whole else 'hexadecimal floats'}")
        if not whole and not np.array_equal(_round_to_dtype(array, case.dtype), array, equal_nan=True):
            raise ValueError(f"{name} holds numbers that {case.dtype} does not have")
    return GraphCase.of(case, case.arrays_of({name: named[name] for name in shapes}))


def check_arrays(case: Case, arrays: Arrays) -> None:
    """Shapes that fit the widths, and numbers that the dtype holds exactly."""
    shapes: dict[str, tuple[int, ...]] = {
        "inputs": (case.batch, case.widths[0]),
        "targets": target_shape(case.error, case.batch, case.outputs),
    }
    for k, (n, m) in enumerate(case.shapes, 1):
        shapes |= {f"w{k}": (n, m), f"b{k}": (m,)}
    classes = case.error.targets == "classes"
    for name, array in arrays.by_name.items():
        if array.shape != shapes[name]:
            raise ValueError(f"{name} has shape {array.shape}; the case has {shapes[name]}")
        is_integer = array.dtype.kind == "i"
        if classes and name == "targets":
            if not is_integer or not np.isin(array, np.arange(case.outputs)).all():
                raise ValueError(f"targets must be class numbers from 0 to {case.outputs - 1}")
        elif is_integer:
            raise ValueError(f"{name} must hold hexadecimal floats")
        elif not np.array_equal(_round_to_dtype(array, case.dtype), array, equal_nan=True):
            raise ValueError(f"{name} holds numbers that {case.dtype} does not have")


def _round_to_dtype(array: np.ndarray, dtype: str) -> np.ndarray:
    """The numbers rounded to the dtype's precision, or to its smallest steps; NaN where they are too large."""
    form = FORMATS[dtype]
    rounded = round_to_precision(array, form.precision)
    subnormal = np.abs(array) < form.smallest_normal
    held = np.where(subnormal, round_subnormal(np.where(subnormal, array, 0.0), form), rounded)
    return np.where(np.isfinite(array) & (np.abs(held) > form.largest), np.nan, held)
