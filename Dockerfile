# The server over stdio, as `docker run --rm -i --env-file settings.env -v licenses:/home/license`.
# Everything but this program itself is installed from requirements.txt, by hash.
FROM python:3.13-slim AS build
RUN pip install --no-cache-dir uv==0.13.9
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_NO_CACHE=1 UV_PYTHON_DOWNLOADS=never
WORKDIR /source
COPY requirements.txt ./
RUN uv venv /opt/license \
    && uv pip install --python /opt/license --require-hashes --requirements requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY prompts prompts
COPY server server
RUN uv pip install --python /opt/license --no-deps .

FROM python:3.13-slim
RUN useradd --create-home --uid 10001 license
COPY --from=build /opt/license /opt/license
ENV PATH=/opt/license/bin:$PATH OPEN_BROWSER=false PYTHONDONTWRITEBYTECODE=1
USER 10001
WORKDIR /home/license
# The ledger is kept in the home folder.
VOLUME /home/license
ENTRYPOINT ["arcgis-license-mcp"]
