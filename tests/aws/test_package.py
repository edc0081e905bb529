"""The package of the functions: the same bytes from the same files, and only what a function needs. No network."""

import importlib.util
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def package() -> ModuleType:
    """The script."""
    spec = importlib.util.spec_from_file_location("package_aws", ROOT / "scripts" / "package_aws.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_wheel_is_pinned_and_none_is_a_server_s(package: ModuleType) -> None:
    """Dependencies of dependencies too; no web server, no terminal, no test tool."""
    wanted = {line.partition("==")[0] for line in package.requirements()}
    assert {"boto3", "botocore", "msgspec", "fastapi", "pydantic", "mcp", "authlib"} <= wanted
    assert not wanted & {"uvicorn", "uvloop", "rich", "typer", "moto", "pytest", "psycopg"}
    assert all("==" in line for line in package.requirements())


def test_the_same_files_make_the_same_archive(package: ModuleType, tmp_path: Path) -> None:
    """Whenever and wherever: names sorted, times fixed, our own code in it and the SDK's other services not."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    with zipfile.ZipFile(wheels / "botocore-1-py3-none-any.whl", "w") as wheel:
        for service in ("dynamodb", "ec2"):
            wheel.writestr(f"botocore/data/{service}/2012-08-10/service-2.json", service)
        wheel.writestr("botocore/data/endpoints.json", "{}")
        wheel.writestr("botocore/tests/test_it.py", "")
    files = package.contents(wheels)
    assert "enactor/functions/steps.py" in files
    assert "botocore/data/dynamodb/2012-08-10/service-2.json" in files
    assert "botocore/data/endpoints.json" in files
    assert not any(name.startswith(("enactor/conformance", "botocore/tests", "botocore/data/ec2")) for name in files)
    assert b"internal = enactor.connectors.internal:InternalConnector" in files["enactor-0.dist-info/entry_points.txt"]
    package.write(tmp_path / "a.zip", files)
    package.write(tmp_path / "b.zip", dict(reversed(files.items())))
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_what_is_too_large_is_refused(
    package: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The limit is 40 MB; an archive above it ends the build with a failure that says so."""
    assert package.LARGEST == 40 * 1024 * 1024
    monkeypatch.setattr("sys.argv", ["package_aws.py", "--output", str(tmp_path / "a.zip")])
    monkeypatch.setattr(package, "download", lambda wheels: None)
    assert package.main() == 0
    monkeypatch.setattr(package, "LARGEST", 1024)
    assert package.main() == 1
    assert "It is larger than 0 MB." in capsys.readouterr().err
