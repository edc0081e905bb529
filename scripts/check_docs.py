"""House rules that no off-the-shelf linter knows; part of `make check`.

Fails when a relative link in a Markdown file leads nowhere, a module under src is longer than 400 lines and no decision
record under docs/adr names it, a file names a path of this machine or a package registry, or a dependency in
pyproject.toml has no row in docs/dependencies.md or no pin in constraints.txt.

    python scripts/check_docs.py [ROOT]     one line a problem on standard error; exit status 1 when there is any
"""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

LONGEST_MODULE = 400
"""Lines. A longer module is two ideas, or has a decision record that says why not."""

FENCE = re.compile(r"^ {0,3}(```+|~~~+)")
INLINE_CODE = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)")
INLINE_LINK = re.compile(r"\]\(\s*(<[^>]*>|[^)\s]+)(?:\s+[\"'(][^)]*)?\)")
REFERENCE = re.compile(r"^ {0,3}\[[^\]]+\]:\s+(<[^>]*>|\S+)")
HEADING = re.compile(r"^ {0,3}#{1,6}\s+(.*?)\s*#*\s*$")
EXPLICIT_ANCHOR = re.compile(r"<a\s+(?:id|name)=\"([^\"]+)\"")
SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*:|^//")

# Spelled so that this file does not name what it forbids.
REGISTRY = re.compile(
    r"\b(?:pypi|pythonhosted|crates|npmjs|yarnpkg|rubygems)\.(?:org|io|com)\b"
    r"|\bproxy\.golang\.org\b"
    r"|\brepo1?\.maven\.(?:apache\.)?org\b"
    r"|\b(?:extra-)?index[-_]url\b"
    r"|\"resolved\":\s*\"http"
)
REQUIREMENT_NAME = re.compile(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
PIN = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9.+!]+$")


def project_files(root: Path) -> list[Path]:
    """The files that are committed, or would be by `git add`, relative to `root`, in order."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return sorted({Path(name) for name in listed.split("\0") if name and (root / name).is_file()})


def prose_lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines outside code fences, numbered from 1."""
    fence = ""
    for number, line in enumerate(text.splitlines(), start=1):
        found = FENCE.match(line)
        if fence:
            if found and found[1].startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
        elif found:
            fence = found[1]
        else:
            yield number, line


def anchors(text: str) -> set[str]:
    """The fragments a Markdown text answers to, as GitHub forms them."""
    found: set[str] = set()
    for _, line in prose_lines(text):
        found.update(EXPLICIT_ANCHOR.findall(line))
        if heading := HEADING.match(line):
            words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1]).lower()
            slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
            candidate, repeat = slug, 0
            while candidate in found:
                repeat += 1
                candidate = f"{slug}-{repeat}"
            found.add(candidate)
    return found


def _anchors_of(document: Path) -> set[str]:
    return anchors(document.read_text(encoding="utf-8"))


def links(text: str) -> Iterator[tuple[int, str]]:
    """Every link's line number and target, code left out."""
    for number, line in prose_lines(text):
        prose = INLINE_CODE.sub("", line)
        for target in (*INLINE_LINK.findall(prose), *REFERENCE.findall(prose)):
            yield number, target.strip("<>")


def broken_links(root: Path, files: list[Path]) -> Iterator[str]:
    """Relative links whose file, directory or heading is not in the project."""
    known = {Path(), *files, *(parent for file in files for parent in file.parents)}
    for document in files:
        if document.suffix != ".md":
            continue
        for number, target in links((root / document).read_text(encoding="utf-8")):
            if SCHEME.match(target):
                continue
            path, _, fragment = unquote(target).partition("#")
            if not path:
                found = document
            elif path.startswith("/"):
                found = Path(path.lstrip("/"))
            else:
                found = _normal(document.parent / path)
            if found not in known:
                yield f"{document}:{number}: the link to {target} leads nowhere"
            elif found.suffix == ".md" and fragment and fragment not in _anchors_of(root / found):
                yield f"{document}:{number}: {found} has no heading for #{fragment}"


def _normal(path: Path) -> Path:
    """`path` without `.` and `..`; one that leaves the project keeps its `..` and so is never known."""
    parts: list[str] = []
    for part in path.parts:
        if part == ".." and parts and parts[-1] != "..":
            parts.pop()
        else:
            parts.append(part)
    return Path(*parts)


def long_modules(root: Path, files: list[Path]) -> Iterator[str]:
    """Modules under src past the limit that no decision record names."""
    records = [(root / file).read_text(encoding="utf-8") for file in files if file.match("docs/adr/*.md")]
    for module in files:
        if module.suffix != ".py" or module.parts[0] != "src":
            continue
        length = len((root / module).read_text(encoding="utf-8").splitlines())
        if length > LONGEST_MODULE and not any(module.as_posix() in record for record in records):
            yield f"{module}: {length} lines, over {LONGEST_MODULE}, and no decision record in docs/adr names it"


def machine_names(root: Path, files: list[Path]) -> Iterator[str]:
    """Files that name this checkout, this home directory or a package registry."""
    places = {f"{place}/" for place in (str(root.resolve()), str(Path.home())) if place != "/"}
    for file in files:
        # Bytes that are no text become marks that match nothing: a binary file is searched all the same.
        text = (root / file).read_text(encoding="utf-8", errors="replace")
        for number, line in enumerate(text.splitlines(), start=1):
            if any(place in line for place in places):
                yield f"{file}:{number}: names a path of this machine"
            if REGISTRY.search(line):
                yield f"{file}:{number}: names a package registry"


def unexplained_dependencies(root: Path) -> Iterator[str]:
    """Dependencies without a reason in docs/dependencies.md or a pin in constraints.txt."""
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    project = settings["project"]
    declared = [
        *settings["build-system"]["requires"],
        *project.get("dependencies", []),
        *(line for extra in project.get("optional-dependencies", {}).values() for line in extra),
    ]
    rows = _read(root / "docs/dependencies.md")
    explained = {
        _canonical(name)
        for row in rows
        if row.startswith("|") and row.count("|") > 2
        for name in re.findall(r"`([^`]+)`", row.split("|")[1])
    }
    pins = [line for line in _read(root / "constraints.txt") if line.strip() and not line.startswith("#")]
    pinned = {_canonical(line.partition("==")[0]) for line in pins}
    for line in pins:
        if not PIN.match(line):
            yield f"constraints.txt: '{line}' is not of the form name==version"
    for name in sorted({_canonical(found[1]) for line in declared if (found := REQUIREMENT_NAME.match(line))}):
        if name not in explained:
            yield f"pyproject.toml: {name} has no row in docs/dependencies.md"
        if name not in pinned:
            yield f"pyproject.toml: {name} has no pin in constraints.txt"


def _read(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []


def _canonical(name: str) -> str:
    """A distribution's name in its one spelling (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def problems(root: Path) -> list[str]:
    """Everything wrong with the project at `root`, one line each."""
    files = project_files(root)
    return [
        *broken_links(root, files),
        *long_modules(root, files),
        *machine_names(root, files),
        *unexplained_dependencies(root),
    ]


def main(arguments: list[str]) -> int:
    """Prints what is wrong; returns the exit status."""
    root = Path(arguments[0]) if arguments else Path(__file__).resolve().parent.parent
    found = problems(root)
    for problem in found:
        print(problem, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
