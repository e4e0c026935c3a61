#!/usr/bin/env bash
# Train under Slurm:
#   [GPUS=4] [GPUS_PER_NODE=4] [CPUS_PER_TASK=8] [SRUN_ARGS=...] \
#       tools/slurm_train.sh PARTITION JOB_NAME CONFIG [flags of tools/train.py]
# The config's batch is split over all GPUs.
set -euo pipefail

if [ $# -lt 3 ]; then
    sed -n '2,5s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
partition=$1
name=$2
config=$3
shift 3

here=$(cd "$(dirname "$0")" && pwd)
. "$here/_srun.sh"
with_slurm "$partition" "$name" "$here/train.py" "$config" --launcher slurm "$@"
