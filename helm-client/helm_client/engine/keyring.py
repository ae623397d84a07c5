"""The fingerprint of the key that signed a provenance file (OpenPGP, RFC 4880 and 9580).

Helm's engine checks the signature; helm-python-sdk answers who signed but not with which key, which `helm verify`
prints. So this finds the key and checks nothing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator

_SIGNATURE, _SECRET, _PUBLIC, _SECRET_SUB, _PUBLIC_SUB = 2, 5, 6, 7, 14
_ISSUER, _ISSUER_FINGERPRINT = 16, 33
_BEGIN, _END = "-----BEGIN PGP SIGNATURE-----", "-----END PGP SIGNATURE-----"


def find_fingerprint(provenance: str, keyring: bytes) -> str:
    """Answer the fingerprint of the primary key whose key, or sub-key, signed; empty where it cannot be told."""
    try:
        issuer = _find_issuer(_read_armor(provenance))
        primary = ""
        for tag, body in _list_packets(keyring):
            if tag not in (_SECRET, _PUBLIC, _SECRET_SUB, _PUBLIC_SUB):
                continue
            fingerprint = _make_fingerprint(body)
            if tag in (_SECRET, _PUBLIC):
                primary = fingerprint
            if issuer and issuer in fingerprint:
                return primary
    except (IndexError, ValueError):
        return ""
    return ""


def _read_armor(text: str) -> bytes:
    body = text.partition(_BEGIN)[2].partition(_END)[0].replace("\r", "")
    lines = body.partition("\n\n")[2].split("\n")
    try:
        return base64.b64decode("".join(line for line in lines if not line.startswith("=")))
    except binascii.Error as error:
        raise ValueError("the signature is not base64") from error


def _list_packets(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        first, at = data[at], at + 1
        if first & 0x40:
            tag = first & 0x3F
            length, at = _read_length(data, at)
        else:
            tag, size = (first >> 2) & 0xF, 1 << (first & 3)
            length, at = int.from_bytes(data[at : at + size]), at + size
        yield tag, data[at : at + length]
        at += length


def _read_length(data: bytes, at: int) -> tuple[int, int]:
    """Read a length of one, two or five bytes; answer it and where its packet begins."""
    if data[at] < 192:
        return data[at], at + 1
    if data[at] < 224:
        return ((data[at] - 192) << 8) + data[at + 1] + 192, at + 2
    return int.from_bytes(data[at + 1 : at + 5]), at + 5


def _find_issuer(signature: bytes) -> str:
    """Answer the id or the fingerprint of the key that signed, in hex."""
    found = ""
    for tag, body in _list_packets(signature):
        at = 4
        for _ in range(2 if tag == _SIGNATURE else 0):  # hashed and unhashed subpackets
            end = at + 2 + int.from_bytes(body[at : at + 2])
            at += 2
            while at < end:
                length, at = _read_length(body, at)
                kind, content = body[at] & 0x7F, body[at + 1 : at + length]
                if kind == _ISSUER_FINGERPRINT:
                    return content[1:].hex().upper()
                if kind == _ISSUER:
                    found = content.hex().upper()
                at += length
    return found


def _make_fingerprint(key: bytes) -> str:
    """Answer a version 4 key's fingerprint: a hash over its public part."""
    if key[0] != 4:
        return ""
    public = key[: _measure_public(key)]
    return hashlib.sha1(b"\x99" + len(public).to_bytes(2) + public, usedforsecurity=False).hexdigest().upper()


def _measure_public(key: bytes) -> int:
    """Answer how many bytes of a key packet are public."""
    algorithm, at = key[5], 6
    numbers = {1: 2, 2: 2, 3: 2, 16: 3, 17: 4}.get(algorithm, 0)
    if not numbers:  # elliptic curves: the curve's name, then a point; ECDH (18) has parameters, too
        at += 1 + key[at]
        numbers = 1
    for _ in range(numbers):
        at += 2 + (int.from_bytes(key[at : at + 2]) + 7) // 8
    return at + 1 + key[at] if algorithm == 18 else at
