"""Which names of MONAI, PyTorch, Ignite and this package the configuration of a bundle may use."""

from __future__ import annotations

import importlib
from types import ModuleType

ROOTS = ("monai", "torch", "ignite", "monai_supmix")

# Name spaces all of whose members may be used. What is left out can run commands, load pickles or fetch code:
# torch.hub, torch.load, torch.jit, torch.utils.cpp_extension, monai.utils, monai.bundle, monai.apps, ...
NAMESPACES = (
    *("monai.data", "monai.engines", "monai.handlers", "monai.inferers", "monai.losses", "monai.metrics"),
    *("monai.networks", "monai.optimizers", "monai.transforms", "monai.utils.enums"),
    *(
        "torch.nn",
        "torch.optim",
        "torch.amp",
        "torch.utils.data",
        "ignite.engine",
        "ignite.handlers",
        "ignite.metrics",
    ),
    *("monai_supmix.bundle", "monai_supmix.data", "monai_supmix.engines", "monai_supmix.handlers"),
    *("monai_supmix.inferers", "monai_supmix.losses", "monai_supmix.metrics", "monai_supmix.networks"),
    *("monai_supmix.config", "monai_supmix.datalists", "monai_supmix.imageio"),
    *("monai_supmix.precision", "monai_supmix.randomness", "monai_supmix.transforms", "monai_supmix.weights"),
)
NAMES = {
    *("monai.__version__", "torch.__version__", "monai_supmix.__version__", "monai.utils.set_determinism"),
    *(
        "torch.device",
        "torch.dtype",
        "torch.Size",
        "torch.Generator",
        "torch.tensor",
        "torch.zeros",
        "torch.ones",
    ),
    *(
        "torch.float16",
        "torch.bfloat16",
        "torch.float32",
        "torch.float64",
        "torch.uint8",
        "torch.int64",
        "torch.bool",
    ),
    *("torch.manual_seed", "torch.set_num_threads", "torch.channels_last", "torch.channels_last_3d"),
    *("torch.cuda.is_available", "torch.cuda.device_count", "torch.cuda.set_device"),
    *("torch.distributed.init_process_group", "torch.distributed.destroy_process_group"),
    *("torch.distributed.is_initialized", "torch.distributed.get_rank", "torch.distributed.get_world_size"),
    *(
        "ignite.distributed.get_rank",
        "ignite.distributed.get_world_size",
        "ignite.distributed.get_local_rank",
    ),
    *("ignite.distributed.auto_model", "ignite.distributed.initialize", "ignite.distributed.finalize"),
}
# Where members of the name spaces are defined.
_HOMES = (*(f"{space}." for space in NAMESPACES), "torch._C.")


def name_problem(name: str) -> str | None:
    """Say why a dotted name may not be used, or ``None``.

    The name is looked up, so that a way through an allowed module to another one is seen
    (``torch.nn.init.math``).

    Example:
        >>> name_problem("torch.nn.Conv2d") is None
        True
        >>> name_problem("os.system")
        'lies outside monai, torch, ignite and monai_supmix'
    """
    root, *parts = name.split(".")
    if root not in ROOTS:
        return f"lies outside {', '.join(ROOTS[:-1])} and {ROOTS[-1]}"
    if name in NAMES:
        return None
    if any(part.startswith("_") for part in parts):
        return "is private"
    if not name.startswith(tuple(f"{space}." for space in NAMESPACES)):
        return "is not among the names that a bundle needs"
    return _lookup_problem(root, parts)


def _lookup_problem(root: str, parts: list[str]) -> str | None:
    """Walk along a dotted name and look at every step."""
    here: object = importlib.import_module(root)
    path = root
    for part in parts:
        path = f"{path}.{part}"
        try:
            here = getattr(here, part)
        except AttributeError:
            if not isinstance(here, ModuleType):
                return "does not exist"
            try:
                here = importlib.import_module(path)
            except ImportError:
                return "does not exist"
        if isinstance(here, ModuleType):
            if here.__name__ != path:  # a module that this one imported
                return f"leads to {here.__name__}"
        elif (home := _home(here)) is not None and not f"{home}.".startswith(_HOMES):
            return f"leads to {home}"
    return "is a module" if isinstance(here, ModuleType) else None


def _home(thing: object) -> str | None:
    """The module that a class or function was defined in; plain values have none."""
    if not callable(thing):
        return None
    home = getattr(thing, "__module__", None)
    return home if isinstance(home, str) else None
