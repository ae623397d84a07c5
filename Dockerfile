# Chartroom as an image. It serves on 0.0.0.0:8080 and keeps charts in /data; ChartMuseum's own arguments and
# environment names work too. Storage and host are not set as ENV: our names would beat ChartMuseum's.

FROM python:3.12-slim AS build
# The same path as below: a virtual environment cannot move.
RUN python -m venv /opt/chartroom
WORKDIR /src
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY app app
COPY storage storage
COPY migrations migrations
RUN /opt/chartroom/bin/pip install --no-cache-dir -c constraints.txt '.[postgres]'

FROM python:3.12-slim
COPY --from=build /opt/chartroom /opt/chartroom
# /chartmuseum: manifests that name ChartMuseum's program as their command. /storage: where its Helm chart mounts charts.
RUN ln -s /opt/chartroom/bin/chartroom /chartmuseum \
    && install -d -o 1000 -g 1000 /data /storage
ENV PATH=/opt/chartroom/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 1000:1000
# The default folder is ./data, which is /data here; CHARTROOM_STORAGE and STORAGE stay free to say otherwise.
WORKDIR /
# With a read-only root these two are all that is written; /tmp holds uploads on their way and the workers' counts.
VOLUME ["/data", "/tmp"]
EXPOSE 8080
# Reads port, context path and TLS from the environment, as the server does; the folder given here is not touched.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["python", "-c", "import httpx; from app.settings import load_settings; httpx.get(load_settings({'storage': '/data'}).address() + '/health', verify=False, trust_env=False).raise_for_status()"]
ENTRYPOINT ["chartroom"]
CMD ["serve", "--host", "0.0.0.0"]
