"""The OCI door: the specification, real clients, and one chart behind both doors."""
