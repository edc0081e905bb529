"""`python -m enactor` is the `enactor` command."""

from __future__ import annotations

from enactor.cli import main

if __name__ == "__main__":
    main()
