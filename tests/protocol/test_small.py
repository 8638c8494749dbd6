"""Units, identities, windows, codec, keys and cards."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.codec import Reader, Writer
from protocol.errors import ConfigError, WireError
from protocol.hpke import SUITES
from protocol.identity import b64, format_identity, parse_identity, unb64
from protocol.keys import Card, KeyFile, Role
from protocol.units import format_duration, format_size, iso, parse_duration, parse_offset, parse_size
from protocol.windows import start_of
from tests.trial import START, counted


@given(st.integers(0, 10**12))
def test_durations_read_back(ms: int) -> None:
    """What is written is read back."""
    assert parse_duration(format_duration(ms)) == ms


@pytest.mark.parametrize("text", ["", "5", "5 m", "m", "1.5h", "-1s", 5, None, "1y"])
def test_bad_durations_say_how_to_write_them(text: object) -> None:
    """The message has an example."""
    with pytest.raises(ValueError, match="1h30m"):
        parse_duration(text)


def test_sizes_and_offsets() -> None:
    """Decimal and binary sizes differ; offsets have a sign."""
    assert [format_size(size) for size in (10, 20_000, 2 * 10**9)] == ["10 B", "20.0 kB", "2.0 GB"]
    assert (parse_size("2GB"), parse_size("2GiB"), parse_size("1 kB")) == (2 * 10**9, 2 * 2**30, 1000)
    assert (parse_offset("+08:00"), parse_offset("-03:30")) == (28_800_000, -12_600_000)
    for bad in ("08:00", "+8", "+15:00", "Z"):
        with pytest.raises(ValueError, match="offset"):
            parse_offset(bad)
    assert iso(START, 28_800_000) == "2016-12-01T00:00:00+08:00"


@given(st.integers(-(2**45), 2**45), st.integers(1, 10**9), st.integers(-(10**8), 10**8))
def test_every_time_is_in_exactly_one_window(time: int, size: int, offset: int) -> None:
    """Half-open windows tile the line, before 1970 as well; arrays agree with integers."""
    start = start_of(time, size, offset)
    assert start <= time < start + size
    assert start_of(start, size, offset) == start
    assert start_of(np.array([time], dtype=np.int64), size, offset)[0] == start


@given(st.binary(max_size=40))
def test_base64_has_one_text(data: bytes) -> None:
    """A text with other unused bits, padding or characters is refused."""
    text = b64(data)
    assert unb64(text) == data
    for bad in (text + "=", text + "*", text + "A" * ((1 - len(text)) % 4)):
        with pytest.raises(ValueError, match=r"base64url|canonical"):
            unb64(bad)


def test_identities_are_checked() -> None:
    """A text that was cut or changed is refused."""
    text = format_identity(bytes(range(32)))
    assert parse_identity(text) == bytes(range(32))
    for bad in (text[:-1], text[8:], "rsa:" + text[8:], 5):
        with pytest.raises(ValueError, match=r"identity|bytes|base64url|canonical"):
            parse_identity(bad)


@given(st.lists(st.integers(0, 2**64 - 1), max_size=20), st.text(max_size=60), st.binary(max_size=50))
def test_a_reader_takes_exactly_what_was_written(words: list[int], text: str, data: bytes) -> None:
    """Every cut and every addition is noticed."""
    written = Writer().words(np.array(words, dtype=np.uint64)).text(text).blob(data).i64(-5).done()

    def read(source: bytes) -> tuple[list[int], str, bytes, int]:
        reader = Reader(source)
        found = reader.unsigned_words(len(words)).tolist(), reader.text(), reader.blob(), reader.i64()
        reader.end()
        return found

    assert read(written) == (words, text, data, -5)
    with pytest.raises(WireError):
        read(written + b"\0")
    for end in range(max(0, len(written) - 12), len(written)):
        with pytest.raises(WireError):
            read(written[:end])


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("role", ["gateway", "party", "collector", "organisation"])
def test_key_files_and_cards_read_back(suite: str, role: Role) -> None:
    """The card is the public half; neither shows a secret."""
    key = KeyFile.generate(role=role, name="x-1", suite=suite, entropy=counted("keys"))
    again = KeyFile.from_text(key.to_text(), where="x-1.key")
    assert (again.public_identity, again.storage, again.sealing_secret) == (
        key.public_identity,
        key.storage,
        key.sealing_secret,
    )
    card = Card.from_text(key.card_text(), where="x-1.card")
    assert card == key.card()
    for secret in (key.storage, key.sealing_secret, key.identity.private_bytes_raw()):
        if secret is not None:
            assert b64(secret) not in key.card_text()
            assert b64(secret) not in repr(key)
            assert repr(secret) not in repr(key)


def test_a_changed_card_or_key_file_is_refused_without_showing_it() -> None:
    """A card is signed by its own identity; errors of key files have no cause that shows them."""
    key = KeyFile.generate(role="party", name="x-1", suite="x25519", entropy=counted("keys"))
    with pytest.raises(ConfigError, match="changed on its way"):
        Card.from_text(key.card_text().replace("x-1", "x-2"), where="x-1.card")
    for text in (key.to_text()[:-20], key.to_text() + 'more = "1"\n', "", key.to_text().replace("storage", "store")):
        with pytest.raises(ConfigError) as caught:
            KeyFile.from_text(text, where="x-1.key")
        assert caught.value.__cause__ is None
        assert b64(key.storage) not in str(caught.value)
