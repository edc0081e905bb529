"""Store URLs in their parts, and as they may be shown."""

from pathlib import Path

import pytest

from enactor.settings import store_address, without_password
from enactor.settings.values import has_password


def test_a_store_url_in_its_parts() -> None:
    """Three slashes are relative, four absolute; the others have scheme, region and options."""
    assert store_address("sqlite:///enactor.db").path == Path("enactor.db")
    assert store_address("sqlite:////var/lib/enactor.db").path == Path("/var/lib/enactor.db")
    assert store_address("memory://").scheme == "memory"
    assert store_address("postgres://h/d").scheme == "postgresql"
    table = store_address("dynamodb://eu-west-1?prefix=cc-native")
    assert (table.region, table.options) == ("eu-west-1", {"prefix": "cc-native"})


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ana:hunter2@db:5432/e?sslmode=require", "postgresql://ana:***@db:5432/e?sslmode=require"),
        ("postgresql://db/e?password=hunter2&x=1", "postgresql://db/e?password=***&x=1"),
        ("postgresql://ana@db/e", "postgresql://ana@db/e"),
        ("sqlite:////var/lib/enactor.db", "sqlite:////var/lib/enactor.db"),
        ("memory://", "memory://"),
    ],
)
def test_a_password_is_never_shown(url: str, shown: str) -> None:
    """Passwords in the authority and in the query are masked, and everything else stays."""
    assert without_password(url) == shown
    assert has_password(url) == ("hunter2" in url)
