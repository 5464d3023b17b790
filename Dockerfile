# examples/service.py in a container: an example of an image that has pyfd, and no compiler.
#
#   docker build -t pyfd-service .
#   docker run --rm -p 8000:8000 --read-only --cap-drop ALL pyfd-service
#
# docs/pipelines/service.md says what else a service for strangers needs.

ARG PYTHON=python:3.13-slim-bookworm

# ---- the environment, for which pyfd is compiled ----

FROM ${PYTHON} AS builder
RUN apt-get update \
 && apt-get install -y --no-install-recommends gcc libc6-dev nasm patch
WORKDIR /source
COPY . .
RUN python -m venv /opt/pyfd \
 && /opt/pyfd/bin/pip install --no-cache-dir . $(grep -E '^(starlette|uvicorn)==' requirements-dev.txt)
# Readable for the user who runs it, whatever the mode of the file here
RUN install -D --mode 644 examples/service.py /app/service.py

# ---- what runs ----

FROM ${PYTHON}
RUN useradd --uid 10001 --no-create-home pyfd
COPY --from=builder /opt/pyfd /opt/pyfd
COPY --from=builder /app /app
WORKDIR /app
ENV PATH=/opt/pyfd/bin:$PATH PYTHONDONTWRITEBYTECODE=1
# A number, because Kubernetes (runAsNonRoot) cannot know whether a name is root's
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=3s --start-period=10s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz')"]
CMD ["uvicorn", "service:app", "--host", "0.0.0.0", "--no-access-log"]
