"""What the command line does beside serving: one module a command, each opens the house and closes it.

Here are the words and exit codes of a terminal; what is done to the store is below, in `app/services`.
"""

from app.commands.backup import back_up, restore
from app.commands.collect import collect
from app.commands.exports import export_charts, export_into_chartmuseum
from app.commands.imports import import_charts
from app.commands.listing import print_index
from app.commands.reindex import reindex
from app.commands.verify import verify
from app.commands.worker import work

__all__ = [
    "back_up",
    "collect",
    "export_charts",
    "export_into_chartmuseum",
    "import_charts",
    "print_index",
    "reindex",
    "restore",
    "verify",
    "work",
]
