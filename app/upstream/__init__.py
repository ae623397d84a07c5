"""Other people's repositories: reading what they hold. Nothing here writes, and nothing here knows our own store."""
