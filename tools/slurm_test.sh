#!/usr/bin/env bash
# Test under Slurm:
#   [GPUS=4] [GPUS_PER_NODE=4] [CPUS_PER_TASK=8] [SRUN_ARGS=...] \
#       tools/slurm_test.sh PARTITION JOB_NAME CONFIG WEIGHTS [flags of tools/test.py]
# Metrics equal those on one GPU, because every image counts once.
set -euo pipefail

if [ $# -lt 4 ]; then
    sed -n '2,5s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
partition=$1
name=$2
config=$3
weights=$4
shift 4

here=$(cd "$(dirname "$0")" && pwd)
. "$here/_srun.sh"
with_slurm "$partition" "$name" "$here/test.py" "$config" "$weights" --launcher slurm "$@"
