"""Lines of code: without blank lines, comments and docstrings.

    python benchmarks/code_lines.py [FOLDER...] [--longest 80]

A line counts if a token of code begins, ends or goes on there. Prints a line a room of the package
(or of any FOLDER) and the sum, then every function with more than --longest lines, from its
signature to its last line, docstring left out.
"""

from __future__ import annotations

import argparse
import ast
import io
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

Function = ast.FunctionDef | ast.AsyncFunctionDef
SILENT = {
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
    tokenize.ENCODING, tokenize.ENDMARKER,
}  # fmt: skip


def docstring_lines(tree: ast.AST) -> set[int]:
    """The numbers of the lines that docstrings take up."""
    lines: set[int] = set()
    for node in ast.walk(tree):
        if not isinstance(node, Function | ast.ClassDef | ast.Module) or not node.body:
            continue
        first = node.body[0]
        value = first.value if isinstance(first, ast.Expr) else None
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            lines.update(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    return lines


def code_lines(source: str) -> set[int]:
    """The numbers of the lines that hold code."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in SILENT:
            lines.update(range(token.start[0], token.end[0] + 1))
    return lines - docstring_lines(ast.parse(source))


def functions(source: str) -> Iterator[tuple[str, int]]:
    """Name and length in code lines of every function."""
    lines = code_lines(source)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, Function):
            span = range(node.lineno, (node.end_lineno or node.lineno) + 1)
            yield node.name, sum(line in lines for line in span)


def main() -> None:
    """Count, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path, default=[Path("cxrtool")])
    parser.add_argument("--longest", type=int, default=80)
    a = parser.parse_args()
    rooms: Counter[str] = Counter()
    long: list[tuple[int, str]] = []
    for folder in a.folders:
        for path in sorted(folder.rglob("*.py")):
            source = path.read_text(encoding="utf-8")
            inside = path.relative_to(folder).parts
            rooms[str(folder / inside[0]) if len(inside) > 1 else str(folder)] += len(
                code_lines(source)
            )
            long += [(n, f"{path}: {name}") for name, n in functions(source) if n > a.longest]
    for room, n in rooms.most_common():
        print(f"{n:7,}  {room}")
    print(f"{sum(rooms.values()):7,}  together")
    for n, where in sorted(long, reverse=True):
        print(f"{n:7,}  {where}")


if __name__ == "__main__":
    main()
