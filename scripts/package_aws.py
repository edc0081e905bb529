"""Builds the package of the AWS functions, the same bytes from the same pins, and refuses one that is too large.

Wheels for Lambda's platform (arm64, CPython 3.13) are downloaded by the pins in constraints.txt and unpacked beside the
project's own code; names are sorted, times fixed, and nothing of this machine is in it.

python scripts/package_aws.py [--output dist/enactor-aws.zip]
"""

import argparse
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LARGEST = 40 * 1024 * 1024
PYTHON = "3.13"
PLATFORMS = ("manylinux2014_aarch64", "manylinux_2_28_aarch64", "manylinux_2_17_aarch64", "manylinux_2_34_aarch64")
EXTRAS = ("aws", "mcp", "oauth", "caldav")
NOT_THERE = frozenset({"fastapi-swagger", "httptools", "rich", "typer", "uvicorn", "uvloop"})
"""What a function never imports: a server's and a terminal's parts."""
EPOCH = (1980, 1, 1, 0, 0, 0)
SKIPPED = re.compile(
    r"(^|/)(tests?|__pycache__|examples)/|\.(pyi|pyc|exe|md|rst)$|\.dist-info/(RECORD|INSTALLER|direct_url)"
)
SERVICES = frozenset(
    {"dynamodb", "events", "stepfunctions", "s3", "secretsmanager", "sts", "sso", "sso-oidc", "signin"}
)
"""What is kept of the SDK's descriptions of services, which make up most of it."""


def main() -> int:
    """Builds, and says how large it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "dist" / "enactor-aws.zip")
    output: Path = parser.parse_args().output
    with tempfile.TemporaryDirectory() as made:
        wheels = Path(made)
        download(wheels)
        files = contents(wheels)
        write(output, files)
    size = output.stat().st_size
    print(f"{output}: {size / 1024 / 1024:.1f} MB, {len(files)} files")
    if size > LARGEST:
        print(f"It is larger than {LARGEST // 1024 // 1024} MB.", file=sys.stderr)
        return 1
    return 0


def download(wheels: Path) -> None:
    """The wheels of everything that the functions need, as pinned, for Lambda's platform."""
    platforms = [option for platform in PLATFORMS for option in ("--platform", platform)]
    common = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "download", "--dest", str(wheels)]
    target = ["--only-binary", ":all:", "--python-version", PYTHON, "--implementation", "cp", *platforms]
    subprocess.run([*common, *target, "--no-deps", *requirements()], check=True)


def requirements() -> list[str]:
    """The pins of the functions' dependencies, those of dependencies among them."""
    pins = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if "==" in line:
            name, _, version = line.partition("==")
            pins[_normal(name)] = version
    from importlib.metadata import PackageNotFoundError, requires

    from packaging.requirements import Requirement

    wanted: dict[str, str] = {}
    open_names = [("enactor", frozenset(EXTRAS))]
    seen: set[tuple[str, frozenset[str]]] = set()
    while open_names:
        name, extras = open_names.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            needed = requires(name) or []
        except PackageNotFoundError:
            needed = []
        for text in needed:
            requirement = Requirement(text)
            there = {"python_version": PYTHON, "python_full_version": f"{PYTHON}.0", "platform_machine": "aarch64"}
            if requirement.marker is not None and not any(
                requirement.marker.evaluate({**there, "extra": extra}) for extra in ("", *extras)
            ):
                continue
            found = _normal(requirement.name)
            if found in NOT_THERE:
                continue
            wanted[found] = pins[found]
            open_names.append((found, frozenset(requirement.extras)))
    return [f"{name}=={version}" for name, version in sorted(wanted.items())]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def contents(wheels: Path) -> dict[str, bytes]:
    """Every file of the package by its name."""
    files: dict[str, bytes] = {}
    for wheel in sorted(wheels.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if not name.endswith("/") and _kept(name):
                    files[name] = archive.read(name)
    for path in sorted((ROOT / "src").rglob("*")):
        name = path.relative_to(ROOT / "src").as_posix()
        if path.is_file() and _kept(name) and not name.startswith(("enactor/conformance/", "enactor/demo/")):
            files[name] = path.read_bytes()
    # Connectors are found by their entry points, which an installed project has in its metadata.
    points = (ROOT / "pyproject.toml").read_text().partition('[project.entry-points."enactor.connectors"]\n')[2]
    lines = [line.replace('"', "") for line in points.split("\n\n")[0].splitlines() if "=" in line]
    files["enactor-0.dist-info/entry_points.txt"] = ("[enactor.connectors]\n" + "\n".join(lines) + "\n").encode()
    files["enactor-0.dist-info/METADATA"] = b"Metadata-Version: 2.1\nName: enactor\nVersion: 0\n"
    return files


def _kept(name: str) -> bool:
    if SKIPPED.search(name):
        return False
    parts = name.split("/")
    if parts[:2] == ["botocore", "data"] and len(parts) > 3:
        return parts[2] in SERVICES
    return True


def write(output: Path, files: dict[str, bytes]) -> None:
    """The archive, the same for the same files."""
    output.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.external_attr = (0o755 if name.endswith(".so") or ".so." in name else 0o644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, files[name])


if __name__ == "__main__":
    sys.exit(main())
