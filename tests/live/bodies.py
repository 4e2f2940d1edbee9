"""Bodies of requests to publish, byte for byte."""

from __future__ import annotations

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=xyz"
MIB = 1024 * 1024


def part(content: bytes, *, name: str = "data", filename: str | None = None, kind: str | None = None) -> bytes:
    disposition = f'Content-Disposition: form-data; name="{name}"'
    disposition += f'; filename="{filename}"' if filename else ""
    lines = [b"--xyz", disposition.encode(), *([f"Content-Type: {kind}".encode()] if kind else []), b"", content]
    return b"\r\n".join(lines) + b"\r\n"


END = b"--xyz--\r\n"
