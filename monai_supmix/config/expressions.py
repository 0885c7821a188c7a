"""Whether an expression of a configuration stays within what a bundle needs, told without evaluating it."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Collection, Mapping

from monai_supmix.config.allowed_names import NAMES, NAMESPACES, ROOTS, name_problem

BUILTINS = {
    *("abs", "all", "any", "bool", "dict", "enumerate", "float", "int", "len", "list", "max", "min", "range"),
    *("reversed", "round", "set", "sorted", "str", "sum", "tuple", "zip"),
}
# Attributes without an underscore that lead from any object to the interpreter or to the operating system.
_LEADING_OUT = {
    *("gi_frame", "gi_code", "cr_frame", "cr_code", "ag_frame", "ag_code", "f_back", "f_globals", "f_locals"),
    *("f_builtins", "f_code", "tb_frame", "tb_next", "builtins", "os", "sys", "subprocess", "importlib"),
    *("import_module", "system", "popen", "exec", "open", "pickle", "ctypes", "shutil", "socket"),
}
_TAKEN = {*dir(builtins), "np", "numpy"}
_REFERENCE = re.compile(r"@(?:\w*)(?:::\w*)*")  # as MONAI finds them
_REFERENCES = "__local_refs"  # what MONAI puts in their place, a dictionary of everything resolved so far
_NODES = (
    *(
        ast.BoolOp,
        ast.boolop,
        ast.BinOp,
        ast.operator,
        ast.UnaryOp,
        ast.unaryop,
        ast.Compare,
        ast.cmpop,
        ast.IfExp,
    ),
    *(
        ast.Subscript,
        ast.Slice,
        ast.Starred,
        ast.Constant,
        ast.expr_context,
        ast.List,
        ast.Tuple,
        ast.Dict,
        ast.Set,
    ),
    *(
        ast.ListComp,
        ast.SetComp,
        ast.DictComp,
        ast.GeneratorExp,
        ast.comprehension,
        ast.Lambda,
        ast.arguments,
    ),
    *(ast.arg, ast.Call, ast.keyword, ast.Name, ast.Attribute, ast.JoinedStr, ast.FormattedValue),
)


def find_references(text: str) -> list[str]:
    """The ids that a string refers to, with ``::`` between their parts.

    Example:
        >>> find_references("$@max_epochs * len(@train#dataloader)")
        ['max_epochs', 'train::dataloader']
    """
    return [match[1:] for match in _REFERENCE.findall(text.replace("#", "::"))]


def imported_names(expression: str) -> dict[str, str]:
    """What an import statement defines: name and the dotted name behind it; empty for other expressions.

    Example:
        >>> imported_names("from torch import nn as n"), imported_names("1 + 1")
        ({'n': 'torch.nn'}, {})
    """
    names = {}
    for node in _parse(expression)[:1]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                whole = alias.name if alias.asname else alias.name.partition(".")[0]
                names[alias.asname or whole] = whole
        elif isinstance(node, ast.ImportFrom):
            parent = "." * node.level + (node.module or "")
            names |= {alias.asname or alias.name: f"{parent}.{alias.name}" for alias in node.names}
    return names


def expression_problem(
    expression: str, aliases: Mapping[str, str] | None = None, module_ids: Collection[str] = ()
) -> str | None:
    """Say why an expression may not be evaluated, or ``None``.

    Allowed are references, arithmetic, comparisons, conditions, subscripts, comprehensions, lambdas, a few
    builtins, names that `name_problem` allows, and the public methods of whatever these give. Modules
    themselves are no values: what is done with one could not be followed.

    Args:
        expression: without its ``$``; an import statement counts as an expression, as in MONAI.
        aliases: names that the configuration's import statements define, with what they stand for.
        module_ids: ids of those statements: referring to them would give a module.

    Example:
        >>> expression_problem("@max_iterations or @max_epochs * len(@train#dataloader)") is None
        True
        >>> expression_problem("eval('1 + 1')")
        'uses eval'
    """
    imports = imported_names(expression)
    if imports and len(_parse(expression)) == 1:
        return next((found for name in imports.values() if (found := _import_problem(name))), None)
    if _REFERENCES in expression:
        return f"uses {_REFERENCES}"
    if problem := reference_problem(expression, module_ids):
        return problem
    source = _REFERENCE.sub(lambda match: f"{_REFERENCES}[{match.group()[1:]!r}]", expression.replace("#", "::"))
    statements = _parse(source)
    if len(statements) != 1 or not isinstance(statements[0], ast.Expr):
        return "is no expression"
    reader = _Reader(aliases or {})
    reader.visit(statements[0].value)
    return reader.problems[0] if reader.problems else None


def reference_problem(text: str, module_ids: Collection[str]) -> str | None:
    """Say whether a string refers to an imported module, or to something that holds one."""
    for wanted in find_references(text):
        if any(f"{module_id}::".startswith(f"{wanted}::") for module_id in module_ids):
            return f"refers to the imported module @{wanted}"
    return None


def _parse(source: str) -> list[ast.stmt]:
    try:
        return ast.parse(source.strip()).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []


def _import_problem(name: str) -> str | None:
    """Modules on the way to allowed names may be imported, for what is used of them is looked at again."""
    if any(f"{space}.".startswith(f"{name}.") for space in (*NAMESPACES, *NAMES)):
        return None
    if (problem := name_problem(name)) in (None, "is a module"):
        return None
    return f"imports {name}, which {problem}"


class _Reader(ast.NodeVisitor):
    """Walks over an expression from the outside to the inside and notes what is not allowed."""

    def __init__(self, aliases: Mapping[str, str]) -> None:
        self.aliases = {**{root: root for root in ROOTS}, **aliases}
        self.bound: set[str] = set()
        self.problems: list[str] = []

    def visit(self, node: ast.AST) -> None:
        """Note a kind of syntax that is not allowed, or look closer."""
        if not isinstance(node, _NODES):
            self.problems.append(f"uses {type(node).__name__}")
        if isinstance(node, (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
            self._visit_generators_first(node)
        else:
            super().visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str) and re.search(r"__\w+__", node.value):
            self.problems.append(f"names {node.value!r}")

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._bind({argument.arg for argument in ast.walk(node.args) if isinstance(argument, ast.arg)})
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        self._bind({name.id for name in ast.walk(node.target) if isinstance(name, ast.Name)})
        self.generic_visit(node)

    def _visit_generators_first(self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> None:
        """Names are bound on the right of what uses them."""
        for generator in node.generators:
            self.visit(generator)
        for field in ("key", "value", "elt"):
            if (part := getattr(node, field, None)) is not None:
                self.visit(part)

    def _bind(self, names: set[str]) -> None:
        for name in sorted(names):
            # Outside of its comprehension the name still means what it meant.
            if name in self.aliases or name in _TAKEN or name.startswith("_"):
                self.problems.append(f"gives {name} another meaning")
        self.bound |= names

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if not (isinstance(node.value, ast.Name) and node.value.id == _REFERENCES):
            self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        if node.id in self.aliases:
            self._check_name(self.aliases[node.id])
        elif node.id not in self.bound and node.id not in BUILTINS:
            self.problems.append(f"uses {node.id}")

    def visit_Attribute(self, node: ast.Attribute) -> None:
        attributes: list[str] = []
        part: ast.expr = node
        while isinstance(part, ast.Attribute):
            attributes.insert(0, part.attr)
            part = part.value
        if isinstance(part, ast.Name) and part.id in self.aliases and part.id not in self.bound:
            self._check_name(".".join([self.aliases[part.id], *attributes]))
            return
        self._check_attributes(attributes)
        self.visit(part)

    def _check_name(self, name: str) -> None:
        """A dotted name; behind a single name that is allowed come attributes of its value."""
        parts = name.split(".")
        known = next((n for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in NAMES), 0)
        if known:
            self._check_attributes(parts[known:])
        elif problem := name_problem(name):
            self.problems.append(f"uses {name}, which {problem}")

    def _check_attributes(self, names: list[str]) -> None:
        self.problems += [f"uses .{name}" for name in names if name.startswith("_") or name in _LEADING_OUT]
