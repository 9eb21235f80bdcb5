"""Recurrent layers: Elman network, LSTM and GRU, in layers and directions, with sequences of different lengths."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from scipy.special import expit

from gradagree.reference.layer import Layer
from gradagree.reference.layers.linear import dense_vjp, in_one_sum, separately


def step_places(length: int, backwards: bool) -> list[int]:
    return list(range(length))[:: -1 if backwards else 1]


class _Recurrent(Layer):
    """Layers of cells over sequences x of shape (length, examples, entries), from states h (and c) of 0.

    Each direction of each layer has parameters w (gates x inputs), u (gates x states) and b. Outputs of the two
    directions are side by side. With lengths, each example ends after its own, and its further outputs are 0.
    """

    depth: int = 1
    both: bool = False
    packed: bool = False
    _gates: ClassVar[int] = 1
    _size: ClassVar[int] = 3

    def _cell(self, a: Any, r: Any, state: Any) -> tuple[Any, Any]:
        """(the new state, what `_cell_vjp` needs) from the parts of the inputs a = w x + b and of the state r = u h."""
        raise NotImplementedError

    def _other_cell(self, a: Any, r: Any, state: Any) -> tuple[Any, Any]:
        """The same by another formula, if there is one."""
        return self._cell(a, r, state)

    def _cell_vjp(self, by_state: Any, saved: Any) -> tuple[Any, Any, Any]:
        """The cotangents of a, r and the state but for that through r."""
        raise NotImplementedError

    def _start(self, examples: int) -> Any:
        return (np.zeros((examples, self._size)),)

    def _directions(self) -> int:
        return 2 if self.both else 1

    def _split(self, arrays: tuple[Any, ...]) -> tuple[list[list[Any]], Any]:
        """(the parameters of each direction of each layer, the lengths or None)."""
        lengths = arrays[-1] if self.packed else None
        own = list(arrays[: len(arrays) - self.packed])
        each = len(own) // (self.depth * self._directions())
        return [own[k : k + each] for k in range(0, len(own), each)], lengths

    def _run(
        self, x: Any, own: list[Any], lengths: Any, backwards: bool, other: bool = False
    ) -> tuple[Any, list[Any]]:  # fmt: skip
        """One direction of one layer, by the usual or the other formula: (the outputs, what the reverse pass needs)."""
        linear, cell = (in_one_sum, self._other_cell) if other else (separately, self._cell)
        w, u, b, *rest = own
        recurrent_bias = rest[0] if rest else None
        length = np.shape(x)[0]
        outputs: list[Any] = [None] * length
        states, saved = self._start(np.shape(x)[1]), []
        for t in step_places(length, backwards):
            new, kept = cell(linear(x[t], w, b), linear(states[0], u, recurrent_bias), states)
            inside = None if lengths is None else (t < lengths)[:, None]
            saved.append((t, states[0], kept, inside))
            if inside is not None:
                new = tuple(np.where(inside, n, old) for n, old in zip(new, states, strict=True))
            outputs[t] = new[0] if inside is None else np.where(inside, new[0], 0.0)
            states = new
        return np.stack(outputs), saved

    def _run_vjp(self, g: Any, x: Any, own: list[Any], saved: list[Any]) -> tuple[Any, list[Any]]:
        """Backpropagation through time: (the cotangent of x, those of the parameters)."""
        w, u, *_ = own
        by_x: list[Any] = [None] * np.shape(x)[0]
        by_own: list[Any] = [np.zeros(np.shape(z)) for z in own]
        by_states: tuple[Any, ...] = tuple(np.zeros(np.shape(z)) for z in self._start(np.shape(x)[1]))
        for t, h, kept, inside in reversed(saved):
            incoming: Any = by_states
            past: Any = (0.0,) * len(by_states)
            out = g[t]
            if inside is not None:
                incoming = tuple(np.where(inside, z, 0.0) for z in by_states)
                past = tuple(np.where(inside, 0.0, z) for z in by_states)
                out = np.where(inside, out, 0.0)
            by_a, by_r, through = self._cell_vjp((incoming[0] + out, *incoming[1:]), kept)
            by_x[t], by_w = dense_vjp(by_a, x[t], w)
            by_h, by_u = dense_vjp(by_r, h, u)
            parts = [by_w, by_u, np.sum(by_a, axis=0), np.sum(by_r, axis=0)]
            by_own = [total + part for total, part in zip(by_own, parts, strict=False)]
            by_states = tuple(z + p for z, p in zip((through[0] + by_h, *through[1:]), past, strict=True))
        return np.stack(by_x), by_own

    def value(self, x: Any, *arrays: Any) -> Any:
        return self._value(x, arrays, False)

    def other_value(self, x: Any, *arrays: Any) -> Any:
        return self._value(x, arrays, True)

    def _value(self, x: Any, arrays: tuple[Any, ...], other: bool) -> Any:
        own, lengths = self._split(arrays)
        n = self._directions()
        for k in range(self.depth):
            runs = [self._run(x, own[n * k + d], lengths, bool(d), other)[0] for d in range(n)]
            x = np.concatenate(runs, axis=-1) if n > 1 else runs[0]
        return x

    def vjp(self, g: Any, x: Any, *arrays: Any) -> tuple[Any, ...]:
        own, lengths = self._split(arrays)
        n, inputs, saved = self._directions(), [x], []
        for k in range(self.depth):
            runs = [self._run(inputs[-1], own[n * k + d], lengths, bool(d)) for d in range(n)]
            saved.append([kept for _, kept in runs])
            inputs.append(np.concatenate([y for y, _ in runs], axis=-1))
        found: list[list[Any]] = []
        for k in reversed(range(self.depth)):
            by_x: Any = 0.0
            every = []
            for d in range(n):
                part = g[..., d * self._size : (d + 1) * self._size]
                through, by_own = self._run_vjp(part, inputs[k], own[n * k + d], saved[k][d])
                by_x = by_x + through
                every.append(by_own)
            found, g = [*every, *found], by_x
        return (g, *(z for one in found for z in one), *([None] if self.packed else []))

    def example(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        found, inputs = {"x": rng.standard_normal((4, 3, 2))}, 2
        for k in range(self.depth):
            for d in range(self._directions()):
                suffix = f"_l{k}{'_reverse' * d}"
                shapes: dict[str, tuple[int, ...]] = {
                    "w": (self._gates * self._size, inputs),
                    "u": (self._gates * self._size, self._size),
                }
                shapes |= {"b": (self._gates * self._size,), "c": (self._gates * self._size,)}
                found |= {name + suffix: rng.standard_normal(shape) / 2 for name, shape in shapes.items()}
            inputs = self._size * self._directions()
        return found | ({"lengths": np.array([4, 1, 3])} if self.packed else {})

    def _torch(self, kind: Any, x: Any, arrays: Any, torch: Any) -> Any:
        own, lengths = self._split(arrays)
        layer = kind(x.shape[-1], self._size, self.depth, bidirectional=self.both).to(x.dtype)
        named = dict(zip((name for name, _ in layer.named_parameters()), (z for one in own for z in one), strict=True))
        if lengths is None:
            return torch.func.functional_call(layer, named, (x,))[0]
        utils = torch.nn.utils.rnn
        given = utils.pack_padded_sequence(x, lengths, enforce_sorted=False)
        outputs, _ = torch.func.functional_call(layer, named, (given,))
        return utils.pad_packed_sequence(outputs, total_length=x.shape[0])[0]

    def _jax(self, cell: Any, states: int, x: Any, arrays: Any, jax: Any) -> Any:
        own, lengths = self._split(arrays)
        numpy, n = jax.numpy, self._directions()
        for k in range(self.depth):
            runs = []
            for d in range(n):
                w, u, b, c = own[n * k + d]

                def step(state: Any, given: Any, w: Any = w, u: Any = u, b: Any = b, c: Any = c) -> Any:
                    t, row = given
                    new = cell(row @ w.T + b, state[0] @ u.T + c, state)
                    if lengths is None:
                        return new, new[0]
                    inside = (t < lengths)[:, None]
                    kept = tuple(numpy.where(inside, z, old) for z, old in zip(new, state, strict=True))
                    return kept, numpy.where(inside, new[0], 0)

                start = tuple(numpy.zeros((x.shape[1], self._size), x.dtype) for _ in range(states))
                runs.append(jax.lax.scan(step, start, (numpy.arange(x.shape[0]), x), reverse=bool(d))[1])
            x = numpy.concatenate(runs, axis=-1)
        return x


class Rnn(_Recurrent):
    """h_t = tanh(w x_t + b + u h_(t-1) + c)."""

    settings = ("both=True", "depth=2", "packed=True", "both=True,packed=True")

    def _cell(self, a: Any, r: Any, state: Any) -> tuple[Any, Any]:
        h = np.tanh(a + r)
        return (h,), h

    def _cell_vjp(self, by_state: Any, saved: Any) -> tuple[Any, Any, Any]:
        by_sum = by_state[0] * (1 - saved * saved)
        return by_sum, by_sum, (0.0,)

    def torch(self, x, *arrays, torch):
        return self._torch(torch.nn.RNN, x, arrays, torch)

    def jax(self, x, *arrays, jax):
        return self._jax(lambda a, r, state: (jax.numpy.tanh(a + r),), 1, x, arrays, jax)


class Lstm(_Recurrent):
    """i, f, g, o = w x + b + u h + c; c' = sigmoid(f) c + sigmoid(i) tanh(g), h' = sigmoid(o) tanh(c')."""

    _gates = 4
    settings = ("both=True", "depth=2", "packed=True", "depth=2,both=True,packed=True")

    def _start(self, examples: int) -> Any:
        return np.zeros((examples, self._size)), np.zeros((examples, self._size))

    def _cell(self, a: Any, r: Any, state: Any) -> tuple[Any, Any]:
        both = a + r
        i, f, g, o = (both[:, k * self._size : (k + 1) * self._size] for k in range(4))
        i, f, g, o = expit(i), expit(f), np.tanh(g), expit(o)
        c = f * state[1] + i * g
        top = np.tanh(c)
        return (o * top, c), (i, f, g, o, state[1], top)

    def _cell_vjp(self, by_state: Any, saved: Any) -> tuple[Any, Any, Any]:
        i, f, g, o, before, top = saved
        by_h, by_c = by_state
        by_c = by_c + by_h * o * (1 - top * top)
        parts = [by_c * g * i * (1 - i), by_c * before * f * (1 - f), by_c * i * (1 - g * g), by_h * top * o * (1 - o)]
        by_sum = np.concatenate(parts, axis=-1)
        return by_sum, by_sum, (0.0, by_c * f)

    def torch(self, x, *arrays, torch):
        return self._torch(torch.nn.LSTM, x, arrays, torch)

    def jax(self, x, *arrays, jax):
        def cell(a, r, state):
            i, f, g, o = jax.numpy.split(a + r, 4, axis=-1)
            c = jax.nn.sigmoid(f) * state[1] + jax.nn.sigmoid(i) * jax.numpy.tanh(g)
            return jax.nn.sigmoid(o) * jax.numpy.tanh(c), c

        return self._jax(cell, 2, x, arrays, jax)


class Gru(_Recurrent):
    """r, z = sigmoid(w x + b + u h + c); n = tanh(w x + b + r (u h + c)), h' = (1 - z) n + z h."""

    _gates = 3
    settings = ("both=True", "depth=2", "packed=True")

    def _cell(self, a: Any, r: Any, state: Any) -> tuple[Any, Any]:
        size = self._size
        reset = expit(a[:, :size] + r[:, :size])
        update = expit(a[:, size : 2 * size] + r[:, size : 2 * size])
        inner = r[:, 2 * size :]
        new = np.tanh(a[:, 2 * size :] + reset * inner)
        return ((1 - update) * new + update * state[0],), (reset, update, inner, new, state[0])

    def _other_cell(self, a: Any, r: Any, state: Any) -> tuple[Any, Any]:
        saved = self._cell(a, r, state)[1]
        _, update, _, new, before = saved
        return (new + update * (before - new),), saved

    def _cell_vjp(self, by_state: Any, saved: Any) -> tuple[Any, Any, Any]:
        reset, update, inner, new, before = saved
        (by_h,) = by_state
        by_new = by_h * (1 - update) * (1 - new * new)
        by_update = by_h * (before - new) * update * (1 - update)
        by_reset = by_new * inner * reset * (1 - reset)
        by_a = np.concatenate([by_reset, by_update, by_new], axis=-1)
        by_r = np.concatenate([by_reset, by_update, by_new * reset], axis=-1)
        return by_a, by_r, (by_h * update,)

    def torch(self, x, *arrays, torch):
        return self._torch(torch.nn.GRU, x, arrays, torch)

    def jax(self, x, *arrays, jax):
        def cell(a, r, state):
            (ar, az, an), (rr, rz, rn) = (jax.numpy.split(part, 3, axis=-1) for part in (a, r))
            reset, update = jax.nn.sigmoid(ar + rr), jax.nn.sigmoid(az + rz)
            return ((1 - update) * jax.numpy.tanh(an + reset * rn) + update * state[0],)

        return self._jax(cell, 1, x, arrays, jax)
