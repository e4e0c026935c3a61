#!/usr/bin/env bash
# Test on several GPUs of one machine, or of several machines:
#   tools/dist_test.sh CONFIG WEIGHTS GPUS [flags of tools/test.py]
#   NNODES=2 NODE_RANK=0 MASTER_ADDR=10.0.0.1 tools/dist_test.sh CONFIG WEIGHTS GPUS ...
# Metrics equal those on one GPU. On a machine without GPUs this starts GPUS processes.
set -euo pipefail

if [[ ! ${3:-} =~ ^[1-9][0-9]*$ ]]; then
    sed -n '2,5s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
config=$1
weights=$2
gpus=$3
shift 3

here=$(cd "$(dirname "$0")" && pwd)
. "$here/_torchrun.sh"
torchrun "$here/test.py" "$gpus" "$config" "$weights" --launcher pytorch "$@"
