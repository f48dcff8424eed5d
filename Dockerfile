# The service in one image: `api`, `worker`, `migrate` and every other command of `perennial`.
# It brings no database; DATABASE_URL and REDIS_URL say where they are.

FROM python:3.13-slim AS packages
RUN pip install --no-cache-dir uv
RUN python -m venv --without-pip /venv
COPY requirements.lock .
RUN uv pip install --no-cache --python /venv/bin/python --compile-bytecode \
    --require-hashes -r requirements.lock

FROM python:3.13-slim
RUN useradd --system --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin perennial
COPY --from=packages /venv /venv
WORKDIR /srv/perennial
COPY app app
COPY workers workers
COPY migrations migrations
RUN python -m compileall -q app workers migrations \
    && printf '#!/bin/sh\nexec /venv/bin/python -m app.cli "$@"\n' > /usr/local/bin/perennial \
    && chmod 755 /usr/local/bin/perennial
ENV PATH=/venv/bin:$PATH \
    PYTHONPATH=/srv/perennial \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
EXPOSE 8000
# For the API. Other commands listen on no port: compose.yaml turns it off for them.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/livez', timeout=2)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["perennial"]
CMD ["api", "--host", "0.0.0.0"]
