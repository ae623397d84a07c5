"""The work: order, permission, transaction. Never HTTP, SQL text or S3."""
