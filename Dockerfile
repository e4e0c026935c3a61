# ovss in a container, on a CPU or a GPU. The wheel is built inside.
#
#   docker build -t ovss .                                    CPU
#   docker build -t ovss:cuda --build-arg VARIANT=cuda .      GPU (NVIDIA container toolkit)
#
#   docker run --rm -v "$PWD:/data" ovss segment photo.jpg --words "cat, grass"
#   docker run --rm -p 127.0.0.1:7860:7860 ovss demo --web --host 0.0.0.0
#
# --user "$(id -u):$(id -g)" lets the container write into a folder of yours.
ARG PYTHON=3.11
ARG VARIANT=cpu

FROM python:${PYTHON}-slim-bookworm AS wheel
WORKDIR /source
COPY . .
RUN python -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:${PYTHON}-slim-bookworm AS base-cpu
ENV PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu
# on this index, versions for processors end with +cpu, which sorts after the plain version

FROM python:${PYTHON}-slim-bookworm AS base-cuda
# the wheels of torch on PyPI bring the CUDA libraries; the host needs its driver only
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility

FROM base-${VARIANT}
# libraries that the wheel of OpenCV, a dependency of mmcv, expects from the system
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgl1 libglib2.0-0 libxcb1 \
    && rm -rf /var/lib/apt/lists/*
COPY constraints.txt /tmp/constraints.txt
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    wheel="$(ls /wheels/ovss-*.whl)" \
    && python -m pip install --no-cache-dir --constraint /tmp/constraints.txt "${wheel}[fonts,web]" \
    && rm /tmp/constraints.txt \
    && useradd --create-home --uid 1000 ovss \
    && mkdir /data /cache && chmod 1777 /data /cache
# weights, encoded text and settings of libraries; mount a volume here to keep them
ENV HOME=/cache HF_HOME=/cache/huggingface OVSS_CACHE_DIR=/cache/ovss PYTHONUNBUFFERED=1
USER ovss
WORKDIR /data
VOLUME /cache
EXPOSE 7860
# healthy: a served page answers, or no page is served by this container
HEALTHCHECK --interval=30s --timeout=10s --start-period=120s \
    CMD ["python", "-c", "import sys, urllib.request as r; is_page = b'--web' in open('/proc/1/cmdline', 'rb').read(); sys.exit(is_page and r.urlopen('http://127.0.0.1:7860/', timeout=5).status != 200)"]
ENTRYPOINT ["ovss"]
CMD ["--help"]
