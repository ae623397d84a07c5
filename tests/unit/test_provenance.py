"""Provenance files: which archive one is for."""

from __future__ import annotations

import pytest

from app.domain.provenance import read_provenance
from app.errors import AppError, Kind

BEGIN = b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n"
END = b"\n...\nfiles:\n  mychart-0.1.0.tgz: sha256:00\n-----BEGIN PGP SIGNATURE-----\nx\n-----END PGP SIGNATURE-----\n"


@pytest.mark.parametrize(
    ("body", "name", "version"),
    [
        (b"name: mychart\nversion: 0.1.0", "mychart", "0.1.0"),
        (b"version: 0.1.0\ndescription: x\nname: mychart", "mychart", "0.1.0"),
        (b"name: a\nname: b\nversion: 1\nversion: 2", "a", "1"),
        (b"maintainers:\n- name: nobody\nname: mychart\nversion: 0.1.0", "mychart", "0.1.0"),
        (b"name:*mychart\nversion:*1", "mychart", "1"),
        (b'name: "mychart"\nversion: "1.0"', '"mychart"', '"1.0"'),
        (b"name: mychart\r\nversion: 0.1.0\r", "mychart\r", "0.1.0\r"),
        (b"name: ../../x\nversion: 1", "../../x", "1"),
        ("name: café\nversion: 1".encode(), "café", "1"),
    ],
)
def test_name_and_version_are_the_first_that_stand_at_a_line_start(body: bytes, name: str, version: str) -> None:
    assert read_provenance(BEGIN + body + END) == (name, version)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not a provenance file",
        b"\nname: mychart\nversion: 0.1.0\n",
        b" " + BEGIN + b"name: mychart\nversion: 0.1.0",
        BEGIN + b"name: mychart",
        BEGIN + b"version: 0.1.0",
        BEGIN + b"name:mychart\nversion: 0.1.0",
        BEGIN + b"name: \nversion:\n",
        BEGIN + b"  name: mychart\n  version: 0.1.0",
        BEGIN + b"name: \xff\nversion: 1",
    ],
)
def test_anything_else_is_no_provenance_file(body: bytes) -> None:
    with pytest.raises(AppError) as caught:
        read_provenance(body)
    assert caught.value.kind is Kind.INVALID
    assert caught.value.message == "invalid provenance file"
