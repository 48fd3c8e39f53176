"""Report how long modules and functions are; fail above 400 and 60 lines, docstrings of functions not counted."""

import ast
import statistics
import sys
from pathlib import Path

MODULE_LINES = 400
FUNCTION_LINES = 60
SOURCE = Path(__file__).parent.parent / "src"


def function_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count a function's lines without its docstring."""
    docstring = ast.get_docstring(node, clean=False)
    return (
        (node.end_lineno or node.lineno) - node.lineno + 1 - (docstring.count("\n") + 1 if docstring else 0)
    )


def main() -> int:
    """Print the report; return 1 where something is too long."""
    sizes: dict[Path, int] = {}
    too_long: list[str] = []
    for path in sorted(SOURCE.rglob("*.py")):
        text = path.read_text()
        sizes[path] = text.count("\n")
        if sizes[path] > MODULE_LINES:
            too_long.append(f"{path.relative_to(SOURCE)}: {sizes[path]} lines; which noun wants out?")
        too_long += [
            f"{path.relative_to(SOURCE)}:{node.lineno} {node.name}: {function_lines(node)} lines"
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and function_lines(node) > FUNCTION_LINES
        ]
    modules = [size for size in sizes.values() if size > 5]
    print(
        f"{len(modules)} modules, {sum(modules)} lines, median {statistics.median(modules):.0f}, "
        f"longest {max(sizes, key=lambda path: sizes[path]).relative_to(SOURCE)} ({max(modules)})"
    )
    for line in too_long:
        print(line)
    return bool(too_long)


if __name__ == "__main__":
    sys.exit(main())
