"""Rows: tables, the session, and one module of statements for each subject."""
