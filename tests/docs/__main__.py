"""`python -m tests.docs`: write the generated part of the README anew."""

from __future__ import annotations

from tests.docs.readme import README, put_table, read_readme

README.write_text(put_table(read_readme()), encoding="utf-8")
