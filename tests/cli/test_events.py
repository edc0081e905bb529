"""Reading server-sent events."""

from enactor.cli.events import ServerEvent, server_events, text_lines


def test_events_are_read_as_the_standard_says() -> None:
    """Ids stay until replaced, data lines join, comments and unknown fields are skipped, a cut-off event is none."""
    lines = ["\ufeff", ": keep-alive", "", "id: 1", "event: a", "data: {", "data:}", "retry: 5", "", "data: x", "",
             "id: bad\0", "event: lone", "", "data: cut off"]  # fmt: skip
    found = list(server_events(lines))
    assert found == [ServerEvent("1", "a", "{\n}"), ServerEvent("1", "message", "x")]
    assert (found[0].body(), found[1].body()) == ({}, {})
    assert ServerEvent("1", "a", "[1]").body() == {}


def test_only_cr_and_lf_end_lines() -> None:
    """Other characters that Python takes for line ends stay in their line, however the bytes are cut."""
    content = "a\r\nb\rc\n\u2028d\x0ce\x85\r\n".encode()
    for size in range(1, len(content)):
        chunks = [content[at : at + size] for at in range(0, len(content), size)]
        assert list(text_lines(chunks)) == ["a", "b", "c", "\u2028d\x0ce\x85"]
