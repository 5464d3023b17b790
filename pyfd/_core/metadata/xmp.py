"""XMP packets in APP1 segments."""

from __future__ import annotations

import re

MARKER = 0xE1
PREFIX = b"http://ns.adobe.com/xap/1.0/\0"


def clean(payload: bytes) -> bytes:
    """Return a packet with its thumbnails (base64 in ``xmpGImg:image``) emptied."""
    payload = re.sub(rb"(<xmpGImg:image>)[^<]*", rb"\1", payload)
    return re.sub(rb"(xmpGImg:image=)(\"[^\"]*\"|'[^']*')", rb'\1""', payload)
