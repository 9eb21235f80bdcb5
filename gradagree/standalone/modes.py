"""How each mode of torch and jax is written in a script.

A script has ``error(*leaves, target)``, which gives E and what each box hands inwards, and a list of the leaves:
the input p, the weights, the biases, what activations have of their own, and zeros that are added to what is handed
inwards. It ends with E, handed, and the gradients of the leaves in their order.
"""

from __future__ import annotations

from gradagree.errors import UsageError, nearest

TORCH_VMAP = """\
def alone(*leaves_and_target):
    E, handed = error(*(x[None] if own else x for x, own in zip(leaves_and_target, each + [True])))
    return E{scale}, handed


each = {each}
one_by_one = torch.func.grad_and_value(alone, tuple(range(len(leaves))), has_aux=True)
mapped = torch.func.vmap(one_by_one, tuple(0 if own else None for own in each + [True]))
gradients, (E, handed) = mapped(*leaves, target)
E, handed = E.sum(), [c[:, 0] for c in handed]
gradients = [x if own else x.sum(0) for x, own in zip(gradients, each)]"""
JAX_VMAP = """\
def alone(*leaves_and_target):
    E, handed = error(*(x[None] if own else x for x, own in zip(leaves_and_target, each + [True])))
    return E{scale}, handed


each = {each}
one_by_one = jax.value_and_grad(alone, tuple(range(len(leaves))), has_aux=True)
mapped = jax.vmap(one_by_one, tuple(0 if own else None for own in each + [True]))
(E, handed), gradients = mapped(*leaves, target)
E, handed = E.sum(), [c[:, 0] for c in handed]
gradients = [x if own else x.sum(0) for x, own in zip(gradients, each)]"""
REVERSE = "jax.value_and_grad(error, tuple(range(len(leaves))), has_aux=True)"
MODES = {
    "torch:backward": "E, handed = error(*leaves, target)\nE.backward()\ngradients = [x.grad for x in leaves]",
    "torch:grad": (
        "E, handed = error(*leaves, target)\n"
        "gradients = torch.autograd.grad(E, leaves, allow_unused=True, materialize_grads=True)"
    ),
    "torch:vmap": TORCH_VMAP,
    "torch:forward": (
        "E, handed = error(*leaves, target)\n"
        "gradients = torch.func.jacfwd(lambda *leaves: error(*leaves, target)[0], tuple(range(len(leaves))))(*leaves)"
    ),
    "torch:compile": (
        "E, handed = torch.compile(error, fullgraph=True, dynamic=False)(*leaves, target)\n"
        "gradients = torch.autograd.grad(E, leaves, allow_unused=True, materialize_grads=True)"
    ),
    "jax:grad": f"(E, handed), gradients = {REVERSE}(*leaves, target)",
    "jax:jit": f"(E, handed), gradients = jax.jit({REVERSE})(*leaves, target)",
    "jax:vmap": JAX_VMAP,
    "jax:forward": (
        "E, handed = error(*leaves, target)\n"
        "gradients = jax.jacfwd(lambda *leaves: error(*leaves, target)[0], tuple(range(len(leaves))))(*leaves)"
    ),
}
MODES["jax:packed"] = MODES["jax:jit"]
"""Boxes in programs of their own need gradagree; compiled as a whole they use the same derivatives."""
SETTINGS = {
    "torch": (
        'torch.set_num_threads(1)\ntorch.set_float32_matmul_precision("highest")',
        "leaves = [torch.from_numpy(x).to(torch.{dtype}).requires_grad_() for x in arrays]",
        "target = torch.from_numpy(target){to}",
        ".to(torch.{dtype})",
    ),
    "jax": (
        'jax.config.update("jax_enable_x64", True)\njax.config.update("jax_default_matmul_precision", "highest")',
        'leaves = [jax.numpy.array(x, dtype="{dtype}") for x in arrays]',
        "target = jax.numpy.array(target{to})",
        ', dtype="{dtype}"',
    ),
}
"""By framework: settings, leaves, the target, and what makes the target of the case's dtype."""


def way(framework: str, mode: str) -> str:
    """The lines of a mode. Raises UsageError for a mode that no script is known for."""
    name = f"{framework}:{mode}"
    if name not in MODES:
        raise UsageError(f"--script: no script is known for {name}; {nearest(name, MODES)}")
    return MODES[name]
