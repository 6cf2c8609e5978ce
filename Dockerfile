# derain as a command, without root rights: docker build -t derain . && docker run --rm -v "$PWD:/data" derain photo.jpg
FROM python:3.13-slim AS build
RUN python -m venv /opt/derain
ENV PATH=/opt/derain/bin:$PATH
# PyTorch by default brings 5 GB for GPUs. Its CPU build is a twentieth of that: pass the address of the CPU index that PyTorch's
# installation page names as --build-arg TORCH_INDEX=ADDRESS.
ARG TORCH_INDEX=
RUN pip install --no-cache-dir ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch torchvision
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
