"""The house rules of scripts/check_docs.py bite, each on a small project that is sound but for one thing."""

import subprocess
import sys
from pathlib import Path

import pytest

from scripts import check_docs

# Put together here, so that this file does not name what the check forbids.
DOT, DASH = ".", "-"
REGISTRY_HOST = f"pypi{DOT}org"
INDEX_OPTION = f"--extra{DASH}index{DASH}url"

DEPENDENCY_ROWS = {
    "left-pad": "| `Left.Pad` | pads |\n",
    "hatchling": "| `hatchling` | builds |\n",
    "tester": "| `tester` | tests |\n",
}

SOUND = {
    "README.md": """# Sound

[a guide](docs/guide.md#second-part-2), [the docs](docs/), [this](#sound), [out](https://example.org/nowhere.md),
[mail](mailto:ana@example.org), [from the root](/docs/guide.md "title") and [by reference][guide].
`[code](is/no/link.md)`

```markdown
[nor is](this.md)
```

[guide]: <docs/guide.md>
""",
    "docs/guide.md": "# Guide\n\n## Second part: `2`!\n\n[back](../README.md)\n",
    "docs/dependencies.md": "| package | reason |\n|---|---|\n" + "".join(DEPENDENCY_ROWS.values()),
    "constraints.txt": "# pins\nleft-pad==1.0.0\nhatchling==1.0\ntester==2026.1\n",
    "pyproject.toml": """
[build-system]
requires = ["hatchling>=1"]
[project]
name = "sound"
dependencies = ["left_pad[fast]>=1; sys_platform != 'win32'"]
[project.optional-dependencies]
dev = ["tester"]
""",
    "src/sound/short.py": "pass\n" * check_docs.LONGEST_MODULE,
    "src/sound/logo.bin": "\x00",
    ".gitignore": "/scratch/\n",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project in a git repository of its own that breaks no rule."""
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    for name, text in SOUND.items():
        write(tmp_path, name, text)
    return tmp_path


def write(project: Path, name: str, text: str) -> None:
    """Puts `text` into the file `name`, with the folders it needs."""
    (project / name).parent.mkdir(parents=True, exist_ok=True)
    (project / name).write_text(text, encoding="utf-8")


def append(project: Path, name: str, text: str) -> None:
    """Adds `text` to the end of the file `name`."""
    write(project, name, (project / name).read_text(encoding="utf-8") + text)


def test_a_sound_project_has_no_problems(project: Path) -> None:
    """Every kind of link that leads somewhere, and everything explained and pinned, passes."""
    assert check_docs.problems(project) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[x](docs/gone.md)", "README.md:12: the link to docs/gone.md leads nowhere"),
        ("[x](../outside.md)", "README.md:12: the link to ../outside.md leads nowhere"),
        ("![x](docs/gone.png)", "README.md:12: the link to docs/gone.png leads nowhere"),
        ("[x](docs/Guide.md)", "README.md:12: the link to docs/Guide.md leads nowhere"),
        ("[x]: docs/gone.md", "README.md:12: the link to docs/gone.md leads nowhere"),
        ("[x](docs/guide.md#gone)", "README.md:12: docs/guide.md has no heading for #gone"),
        ("[x](#gone)", "README.md:12: README.md has no heading for #gone"),
        ("[x](scratch/kept-here.md)", "README.md:12: the link to scratch/kept-here.md leads nowhere"),
    ],
)
def test_a_broken_link_is_named(project: Path, text: str, problem: str) -> None:
    """A link to a missing file, heading, or file that git ignores is reported with its line."""
    write(project, "scratch/kept-here.md", "# Only on this machine\n")
    append(project, "README.md", text + "\n")
    assert check_docs.problems(project) == [problem]


def test_a_deleted_target_breaks_its_links(project: Path) -> None:
    """A file that git still lists but that is gone from the tree is no target."""
    subprocess.run(["git", "-C", str(project), "add", "."], check=True)
    (project / "docs/guide.md").unlink()
    assert len([line for line in check_docs.problems(project) if "leads nowhere" in line]) == 3


def test_a_long_module_needs_a_decision_record_that_names_it(project: Path) -> None:
    """One line past the limit fails, until a record under docs/adr names the module by its path."""
    append(project, "src/sound/short.py", "pass\n")
    expected = "src/sound/short.py: 401 lines, over 400, and no decision record in docs/adr names it"
    assert check_docs.problems(project) == [expected]
    write(project, "docs/adr/0001-other.md", "`src/sound/other.py` stays whole.\n")
    assert check_docs.problems(project) == [expected]
    write(project, "docs/adr/0002-short.md", "`src/sound/short.py` stays whole.\n")
    assert check_docs.problems(project) == []


def test_a_path_of_this_machine_is_named(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checkout's own path and the home directory may not stand in any file, text or not."""
    monkeypatch.setenv("HOME", "/home/ana")
    append(project, "docs/guide.md", f"cd {project}/docs\n")
    append(project, "src/sound/logo.bin", "\n\x00/home/ana/logo\n/home/anabel/logo\n")
    assert check_docs.problems(project) == [
        "docs/guide.md:6: names a path of this machine",
        "src/sound/logo.bin:2: names a path of this machine",
    ]


@pytest.mark.parametrize("text", [f"https://{REGISTRY_HOST}/simple", f"{INDEX_OPTION} https://mirror.example.org"])
def test_a_package_registry_is_named(project: Path, text: str) -> None:
    """Neither a registry's host nor the option that chooses one may stand in any file."""
    append(project, "constraints.txt", f"# {text}\n")
    assert check_docs.problems(project) == ["constraints.txt:5: names a package registry"]


@pytest.mark.parametrize("name", DEPENDENCY_ROWS)
def test_a_dependency_needs_a_row(project: Path, name: str) -> None:
    """Core, extra and build dependencies alike: one that only the prose mentions is not explained."""
    text = SOUND["docs/dependencies.md"].replace(DEPENDENCY_ROWS[name], "")
    write(project, "docs/dependencies.md", f"{text}\n`{name}` is useful.\n")
    assert check_docs.problems(project) == [f"pyproject.toml: {name} has no row in docs/dependencies.md"]


def test_a_dependency_needs_a_pin(project: Path) -> None:
    """constraints.txt holds every dependency, and versions only: no address, no range."""
    write(project, "constraints.txt", "left-pad @ https://example.org/pad.whl\nhatchling>=1.0\ntester==1\n")
    assert check_docs.problems(project) == [
        "constraints.txt: 'left-pad @ https://example.org/pad.whl' is not of the form name==version",
        "constraints.txt: 'hatchling>=1.0' is not of the form name==version",
        "pyproject.toml: hatchling has no pin in constraints.txt",
        "pyproject.toml: left-pad has no pin in constraints.txt",
    ]


def test_the_command_says_what_is_wrong_and_fails(project: Path) -> None:
    """Run as `make check` runs it: silent and 0 on a sound project, a line each and 1 otherwise."""
    command = [sys.executable, check_docs.__file__, str(project)]
    sound = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (sound.returncode, sound.stdout, sound.stderr) == (0, "", "")
    append(project, "README.md", "[x](gone.md)\n")
    broken = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (broken.returncode, broken.stdout) == (1, "")
    assert broken.stderr == "README.md:12: the link to gone.md leads nowhere\n"
