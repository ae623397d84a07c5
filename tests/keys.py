"""Signing keys for tests, made by GnuPG in a folder of their own."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.needs import find_program


def make_key(folder: Path) -> dict[str, Path]:
    """Make a key for "Chart Signer" without a passphrase; answer its keyrings, `secret` and `public`."""
    gpg, home = find_program("gpg"), folder / "gnupg"
    home.mkdir(mode=0o700)
    base = [gpg, "--homedir", str(home), "--batch", "--passphrase", "", "--pinentry-mode", "loopback"]
    subprocess.run([*base, "--quick-gen-key", "Chart Signer", "rsa2048", "sign"], check=True, capture_output=True)
    keys = {"secret": folder / "secret.gpg", "public": folder / "public.gpg"}
    for name, word in (("secret", "--export-secret-keys"), ("public", "--export")):
        done = subprocess.run([*base, word, "Chart Signer"], check=True, capture_output=True)
        keys[name].write_bytes(done.stdout)
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False, capture_output=True)
    return keys
