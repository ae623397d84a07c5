"""Charts in OCI registries: fetched and pushed as helm does, with the credentials that helm keeps."""

from helm_client.registry.charts import Pulled, Pushed, pull_chart, push_chart
from helm_client.registry.client import Registry
from helm_client.registry.credentials import Credentials

__all__ = ["Credentials", "Pulled", "Pushed", "Registry", "pull_chart", "push_chart"]
