"""What `enactor connector new` writes: a connector package that passes the suite of connectors as it stands.

The files are the templates beside this one. In their names and texts `@name@` stands for the connector's name,
`@Name@` for the same as a class is named, `@NAME@` in capitals, `@dist@` for the distribution's name, and `@version@`
for Enactor's version.
"""

from __future__ import annotations

import keyword
import re
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Final

from enactor.domain.errors import ConfigurationError

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
_TAKEN: Final = frozenset({"caldav", "calendar", "conformance", "crm", "function", "internal", "openapi", "salesforce"})
_FILES: Final = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "init.py": "src/enactor_@name@/__init__.py",
    "connector.py": "src/enactor_@name@/connector.py",
    "items.py": "src/enactor_@name@/items.py",
    "settings.py": "src/enactor_@name@/settings.py",
    "conftest.py": "tests/conftest.py",
    "item_server.py": "tests/item_server.py",
    "test_connector.py": "tests/test_connector.py",
}


def write_connector(name: str, folder: Path) -> list[Path]:
    """Writes the package of a connector into a folder that must not exist yet.

    Returns:
        The files, in the order in which somebody reads them.

    Raises:
        ConfigurationError: the name cannot be one, or the folder is there already.
        OSError: it cannot be written.
    """
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise ConfigurationError(
            f"'{name[:100]}' cannot be a connector's name: a letter, then letters, digits and '_'; lower case, 40 long."
        )
    if name in _TAKEN:
        raise ConfigurationError(f"'{name}' is the name of a connector that Enactor has; choose another.")
    if folder.exists():
        raise ConfigurationError(f"{folder} is there already; choose another --directory, or move it away.")
    meanings = {
        "@name@": name,
        "@Name@": "".join(part.capitalize() for part in name.split("_")),
        "@NAME@": name.upper(),
        "@dist@": f"enactor-{name.replace('_', '-')}",
        "@version@": version("enactor"),
    }
    templates = resources.files(__package__)
    written = []
    for template, place in _FILES.items():
        text = (templates / f"{template}.template").read_text(encoding="utf-8")
        path = folder / _filled(place, meanings)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_filled(text, meanings), encoding="utf-8")
        written.append(path)
    return written


def _filled(text: str, meanings: dict[str, str]) -> str:
    for token, meaning in meanings.items():
        text = text.replace(token, meaning)
    return text
