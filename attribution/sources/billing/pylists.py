"""Python's repr of lists of dicts, as notebooks and BigQuery clients write nested columns into CSV. Never run.

Numbers keep the digits that stand in the text; no double is made on the way.
"""

import ast
from typing import Any


class NotALiteral(ValueError):
    """The text is no list or dict of plain values."""


def parse_repr(text: str) -> Any:
    """The value of a Python literal; numbers as text, `Decimal('1.5')` as its text. Raises NotALiteral."""
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise NotALiteral("neither JSON nor a Python list") from error
    return _value(tree.body, text.strip())


def _value(node: ast.expr, text: str) -> Any:
    if isinstance(node, ast.Constant):
        return _constant(node, text)
    if isinstance(node, ast.List | ast.Tuple):
        return [_value(item, text) for item in node.elts]
    if isinstance(node, ast.Dict):
        return {
            str(_value(key, text)): _value(item, text)
            for key, item in zip(node.keys, node.values, strict=True)
            if key is not None
        }
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return f"-{_value(node.operand, text)}"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Decimal" and node.args:
        return str(_value(node.args[0], text))
    raise NotALiteral(f"{ast.unparse(node)[:40]} is no plain value")


def _constant(node: ast.Constant, text: str) -> Any:
    if node.value is None or isinstance(node.value, bool | str):
        return node.value
    if isinstance(node.value, int | float):
        return ast.get_source_segment(text, node) or str(node.value)
    raise NotALiteral("not a plain value")
