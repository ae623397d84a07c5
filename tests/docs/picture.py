"""The picture of the house in the README, read back."""

from __future__ import annotations

import re

from tests.docs.readme import get_section

ROOF = "app/"


def read_picture() -> dict[str, set[str]]:
    """Answer which files each folder has in the picture, without their ending; the cellar is left out."""
    picture = re.findall(r"^```text\n(.*?)^```", get_section("The picture of the house"), re.DOTALL | re.MULTILINE)[0]
    house, _cellar = picture.rsplit("====\n", 1)
    rooms: dict[str, set[str]] = {ROOF: set()}
    room = ""
    for line in house.splitlines():
        rooms[ROOF] |= set(re.findall(r"app/(\w+)\.py", line))
        line = re.sub(r"\([^)]*\)|app/\w+\.py.*?(?=app/|$)", "", line)  # what is said of a file is prose
        if re.match(r" *(here:|bytes and|=|-|_|/)", line):
            continue
        if found := re.search(r"(app/\w+|storage)/", line):
            room, line = found[0], line[found.end() :]
        if room:
            rooms.setdefault(room, set()).update(re.findall(r"[a-z]\w*", line.rpartition(":")[2]))
    return rooms
