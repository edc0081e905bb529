"""Page tokens: one spelling each, and good for one listing."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enactor.domain.errors import InvalidInput, InvalidPageToken
from enactor.domain.paging import page_of, page_position, page_token, require_limit

BOUND = ("executions", "acme", {"status": "FAILED"})
AT = ("ai_1", 7)
KINDS = (str, int)


@given(st.text(max_size=50), st.integers(-(2**53) + 1, 2**53 - 1))
def test_a_token_gives_its_position_back(text: str, number: int) -> None:
    """Whatever stands in a position comes back as it was, in its type."""
    token = page_token(*BOUND, (text, number))
    assert page_position(token, *BOUND, KINDS) == (text, number)
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@pytest.mark.parametrize(
    "bound",
    [
        ("ledger", "acme", {"status": "FAILED"}),
        ("executions", "globex", {"status": "FAILED"}),
        ("executions", "acme", {"status": "RUNNING"}),
        ("executions", "acme", None),
    ],
)
def test_a_token_is_bound_to_its_listing(bound: tuple[str, str, object]) -> None:
    """Another listing, tenant or filter does not take it."""
    with pytest.raises(InvalidPageToken):
        page_position(page_token(*BOUND, AT), *bound, KINDS)


def test_a_token_has_one_spelling() -> None:
    """With any character changed, dropped or added it is none."""
    token = page_token(*BOUND, AT)
    others = {token + "=", token + "A", token[:-1], " " + token, token.lower()}
    others |= {token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :] for at in range(len(token))}
    for other in others:
        with pytest.raises(InvalidPageToken):
            page_position(other, *BOUND, KINDS)


@given(st.text(max_size=200) | st.binary(max_size=100).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_nonsense_is_refused(token: str) -> None:
    """Whatever somebody sends is refused as a token, and as nothing else."""
    with pytest.raises(InvalidPageToken):
        page_position(token, *BOUND, KINDS)


def test_a_position_of_another_shape_is_refused() -> None:
    """Even under the right binding the parts have to be of the listing's types."""
    for at in ((7, "ai_1"), ("ai_1",), ("ai_1", 7, 7), ()):
        with pytest.raises(InvalidPageToken):
            page_position(page_token(*BOUND, at), *BOUND, KINDS)
    with pytest.raises(InvalidPageToken):
        page_position("A" * 10_000, *BOUND, KINDS)


def test_the_last_page_has_no_token() -> None:
    """One item more than the limit is what shows that there is another page, which begins after the page's last."""

    def token(at: tuple[str | int, ...]) -> str:
        return f"after {at[0]}"

    assert page_of([1, 2, 3], 3, token, lambda item: (item,)) == ((1, 2, 3), None)
    assert page_of([1, 2, 3, 4], 3, token, lambda item: (item,)) == ((1, 2, 3), "after 3")
    assert page_of([], 3, token, lambda item: (item,)) == ((), None)


@pytest.mark.parametrize("limit", [0, -1])
def test_a_page_has_room_for_one(limit: int) -> None:
    """A limit below 1 is the caller's mistake."""
    require_limit(1)
    with pytest.raises(InvalidInput):
        require_limit(limit)
