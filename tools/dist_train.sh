#!/usr/bin/env bash
# Train on several GPUs of one machine, or of several machines:
#   tools/dist_train.sh CONFIG GPUS [flags of tools/train.py]
#   NNODES=2 NODE_RANK=0 MASTER_ADDR=10.0.0.1 tools/dist_train.sh CONFIG GPUS ...   (on each)
# The config's batch is split over all GPUs. On a machine without GPUs this starts GPUS processes.
set -euo pipefail

if [[ ! ${2:-} =~ ^[1-9][0-9]*$ ]]; then
    sed -n '2,5s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
config=$1
gpus=$2
shift 2

here=$(cd "$(dirname "$0")" && pwd)
. "$here/_torchrun.sh"
torchrun "$here/train.py" "$gpus" "$config" --launcher pytorch "$@"
