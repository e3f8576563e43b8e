"""Public functions say the shapes of their tensors and arrays, and the errors that they raise."""

import ast
from collections.abc import Iterator

from tests.options import tree_of
from tests.rooms import MODULES, place


def public_functions(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    """Functions of the module and methods of its classes; an override without a docstring has that of its base."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            methods = [each for each in node.body if isinstance(each, ast.FunctionDef) and each.name[0] != "_"]
            yield from (each for each in methods if ast.get_docstring(each) or is_abstract(each))


def is_abstract(function: ast.FunctionDef) -> bool:
    return any("abstract" in ast.unparse(each) for each in function.decorator_list)


def own_nodes(function: ast.FunctionDef) -> Iterator[ast.AST]:
    """Everything inside a function, without the functions inside it."""
    todo: list[ast.AST] = list(function.body)
    while todo:
        node = todo.pop()
        yield node
        inside = ast.iter_child_nodes(node)
        todo += [each for each in inside if not isinstance(each, ast.FunctionDef | ast.ClassDef | ast.Lambda)]


def has_arrays(function: ast.FunctionDef) -> bool:
    arguments = [*function.args.args, *function.args.kwonlyargs]
    annotations = [each.annotation for each in arguments if each.annotation] + [
        each for each in [function.returns] if each
    ]
    return any(name in ast.unparse(each) for each in annotations for name in ("Tensor", "NDArray"))


def raises(function: ast.FunctionDef) -> bool:
    return any(isinstance(node, ast.Raise) and node.exc is not None for node in own_nodes(function))


def faults(text: str) -> list[str]:
    """`name: what its docstring lacks` for the public functions of a module."""
    found = []
    for function in public_functions(tree_of(text)):
        written = ast.get_docstring(function) or ""
        if has_arrays(function) and "[" not in written and "scalar" not in written.lower():
            found.append(f"{function.name}: no shapes, such as images: uint8 [B, 3, H, W]")
        if raises(function) and "Raise" not in written:
            found.append(f"{function.name}: no section `Raises:`")
    return found


def test_public_functions_give_shapes_and_errors() -> None:
    found = {place(path): faults(path.read_text()) for path in MODULES}
    assert {name: each for name, each in found.items() if each} == {}


def test_what_is_missing_is_found() -> None:
    text = 'def f(x: Tensor) -> Tensor:\n    """Doubles."""\n    raise ValueError(x)\n'
    assert faults(text) == ["f: no shapes, such as images: uint8 [B, 3, H, W]", "f: no section `Raises:`"]
    assert faults(text.replace("Doubles.", "Doubles x [B].\n\n    Raises:\n        ValueError: always.\n    ")) == []
