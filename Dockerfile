# derain as a command for the CPU: docker build -t derain . && docker run --rm -v "$PWD:/data" derain photo.jpg
FROM python:3.13-slim AS build
RUN python -m venv /opt/derain
ENV PATH=/opt/derain/bin:$PATH
# The CPU build of PyTorch is a twentieth of the default one. Its index is named here and nowhere else.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN pip install --no-cache-dir --index-url "$TORCH_INDEX" torch torchvision
COPY pyproject.toml README.md LICENSE /src/
COPY derain_cli /src/derain_cli
COPY weights /src/weights
COPY docs/derain.1 /src/docs/
RUN pip install --no-cache-dir '/src[web]'

FROM python:3.13-slim
COPY --from=build /opt/derain /opt/derain
RUN useradd --create-home --uid 1000 derain
ENV PATH=/opt/derain/bin:$PATH HF_HUB_OFFLINE=1
USER derain
WORKDIR /data
ENTRYPOINT ["derain"]
CMD ["--help"]
