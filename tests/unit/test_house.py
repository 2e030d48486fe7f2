"""The house's own rules, as far as no linter knows them."""

from pathlib import Path

from code_lines import functions

ROOT = Path(__file__).parents[2]
#: Code lines of a function: two of them fit on a screen with what stands around.
LONGEST = 80


def too_long(folder: Path) -> list[str]:
    """Functions below a folder that are longer than `LONGEST`."""
    return [
        f"{path.relative_to(folder)}: {name} has {lines} lines"
        for path in sorted(folder.rglob("*.py"))
        for name, lines in functions(path.read_text(encoding="utf-8"))
        if lines > LONGEST
    ]


def test_no_function_is_longer_than_a_reader_can_hold() -> None:
    long = too_long(ROOT / "cxrtool")
    assert not long, "split along their ideas:\n" + "\n".join(long)


def test_the_rule_sees_a_function_that_breaks_it(tmp_path: Path) -> None:
    def source(lines: int) -> str:
        body = "".join(f"        x{i} = {i}  # why\n\n" for i in range(lines - 1))
        return f'class A:\n    def method(self):\n        """What."""\n{body}'

    (tmp_path / "fits.py").write_text(source(LONGEST))
    (tmp_path / "long.py").write_text(source(LONGEST + 1))
    assert too_long(tmp_path) == [f"long.py: method has {LONGEST + 1} lines"]
