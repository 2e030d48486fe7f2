"""``python -m cxrtool`` is ``cxr``; this is also what torchrun starts."""

from __future__ import annotations


def main() -> None:
    """Entry point of the ``cxr`` script."""
    from cxrtool.cli import run

    run()


if __name__ == "__main__":
    main()
