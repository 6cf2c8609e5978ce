# derain as a command, without root rights: docker build -t derain . && docker run --rm -v "$PWD:/data" derain photo.jpg
FROM python:3.13-slim AS build
RUN python -m venv /opt/derain
ENV PATH=/opt/derain/bin:$PATH
# Without PyTorch: photos, folders, clips and the web page on a processor. [full] would add training and GPUs.
COPY pyproject.toml README.md LICENSE /src/
COPY derain_cli /src/derain_cli
COPY weights /src/weights
COPY docs/derain.1 /src/docs/
RUN pip install --no-cache-dir '/src[video,web]'

FROM python:3.13-slim
COPY --from=build /opt/derain /opt/derain
RUN useradd --create-home --uid 1000 derain
ENV PATH=/opt/derain/bin:$PATH HF_HUB_OFFLINE=1
USER derain
WORKDIR /data
ENTRYPOINT ["derain"]
CMD ["--help"]
