"""The code that a number depends on, so that it can be told whether a stored number is still that of the code."""

import ast
import inspect
from collections import defaultdict
from collections.abc import Callable
from functools import cache
from importlib import import_module

_PACKAGE = __name__.split(".")[0]
_CHANGES_NOTHING = ("xtalsight.store", "xtalsight.parallel")  # modules that hand numbers on as they are


def code_of(*functions: Callable) -> str:
    """Return the code of functions, of all that they name in this package and in their own modules, and of what that
    names in turn.

    Comments, docstrings and layout do not count, nor does what is not named, nor what stores numbers and hands them on.
    Functions are not run to find it: what code reaches in other ways, by a string for example, is missed.

    Parameters
    ----------
    *functions : callable
        Functions or classes of modules.

    Returns
    -------
    str
        Names of the functions, and statements of modules by module and name.

    Raises
    ------
    ValueError
        A function is not defined in a module.
    """
    waiting = [(function.__module__, function.__qualname__.split(".")[0]) for function in functions]
    if without := [name for module, name in waiting if name not in _definitions(module)[0]]:
        raise ValueError(f"the code of {', '.join(without)} is not known: it must be in a module")
    own = {module for module, _ in waiting}
    found = {}
    while waiting:
        place = module, name = waiting.pop()
        if place in found or module in _CHANGES_NOTHING or not (module in own or module.split(".")[0] == _PACKAGE):
            continue
        statements, imported = _definitions(module)
        found[place] = "\n".join(ast.unparse(statement) for statement in statements[name]) if name in statements else ""
        if name in imported:
            waiting.append(imported[name])
        nodes = [node for statement in statements.get(name, ()) for node in ast.walk(statement)]
        inside = _imported(nodes)  # of functions
        waiting += inside.values()
        modules = imported | inside
        for node in nodes:
            if isinstance(node, ast.Name):
                waiting.append((module, node.id))
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
                # As in `crystals.primitive_cell`.
                waiting.append((".".join(modules[node.value.id]), node.attr))
    named = [f"{function.__module__}.{function.__qualname__}" for function in functions]
    return "\n".join(named + [f"{module}.{name}: {code}" for (module, name), code in sorted(found.items()) if code])


@cache
def _definitions(module):
    """Statements that bind each name of a module, and where imported names are from: {name: (module, name)}."""
    try:
        tree = ast.parse(inspect.getsource(import_module(module)))
    except (ImportError, OSError, TypeError):  # no module, but a name in one; or without source
        return {}, {}
    statements, imported = defaultdict(list), {}
    for statement in map(_WithoutText().visit, tree.body):
        if isinstance(statement, ast.ImportFrom):
            imported |= _imported([statement])
        elif isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
            statements[statement.name].append(statement)
        elif statement is not None:
            for node in ast.walk(statement):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    statements[node.id].append(statement)
    return dict(statements), imported


def _imported(nodes):
    """Where names are from that statements import: {name: (module, name)}."""
    froms = (node for node in nodes if isinstance(node, ast.ImportFrom))
    return {alias.asname or alias.name: (node.module, alias.name) for node in froms for alias in node.names}


class _WithoutText(ast.NodeTransformer):
    """Leaves out docstrings."""

    def visit_Expr(self, node):
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_text else node

    def visit_FunctionDef(self, node):
        self.generic_visit(node)
        node.body = node.body or [ast.Pass()]
        return node

    visit_ClassDef = visit_FunctionDef
