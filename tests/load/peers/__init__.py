"""Whom we are measured against: the same bytes and the same promises, written the usual ways."""
