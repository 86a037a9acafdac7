# SPDX-License-Identifier: Apache-2.0
"""One publisher of chunks at a time."""

from arx_x5_driver.control.chunk_source import ChunkSource


def test_a_second_publisher_waits_until_the_first_is_silent() -> None:
    source = ChunkSource(silence_s=2.0)
    assert source.accepts(b"first", 100.0)
    assert not source.accepts(b"second", 101.0)
    assert source.accepts(b"first", 101.5)
    assert not source.accepts(b"second", 103.4)  # what it sends itself does not count
    assert source.publisher == b"first"
    assert source.accepts(b"second", 103.5)
    assert not source.accepts(b"first", 103.6)
