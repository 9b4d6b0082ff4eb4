"""Decode RLP strictly: what a ledger's receipt is written in."""

from __future__ import annotations

_MAX_DEPTH = 16


def decode(data: bytes) -> bytes | list:
    """The item that ``data`` encodes, canonically and without anything after it.

    Raises:
        ValueError: malformed.
    """
    item, end = _item(data, 0, len(data), 0)
    if end != len(data):
        raise ValueError("bytes follow the item")
    return item


def _item(data: bytes, at: int, limit: int, depth: int) -> tuple[bytes | list, int]:
    if at >= limit or depth > _MAX_DEPTH:
        raise ValueError("truncated or nested too deeply")
    first = data[at]
    if first < 0x80:
        return data[at : at + 1], at + 1
    is_list = first >= 0xC0
    start, end = _payload(data, at, limit, first - (0xC0 if is_list else 0x80))
    if not is_list:
        if end - start == 1 and data[start] < 0x80:
            raise ValueError("a single byte is not written as itself")
        return data[start:end], end
    items = []
    while start < end:
        item, start = _item(data, start, end, depth + 1)
        items.append(item)
    return items, end


def _payload(data: bytes, at: int, limit: int, length: int) -> tuple[int, int]:
    start = at + 1
    if length > 55:
        width = length - 55
        digits = data[start : start + width]
        length = int.from_bytes(digits, "big")
        if len(digits) != width or digits[0] == 0 or length <= 55:
            raise ValueError("a length is not written in its shortest form")
        start += width
    if start + length > limit:
        raise ValueError("an item is longer than what contains it")
    return start, start + length
