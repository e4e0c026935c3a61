# Starts one process per GPU. Sourced by slurm_train.sh and slurm_test.sh.

# with_slurm PARTITION JOB_NAME SCRIPT ARGUMENTS...
with_slurm() {
    local partition=$1 name=$2 script=$3
    shift 3
    local gpus=${GPUS:-4}
    local per_node=${GPUS_PER_NODE:-$((gpus < 8 ? gpus : 8))}
    # shellcheck disable=SC2086  # SRUN_ARGS may hold several flags
    exec srun --partition="$partition" --job-name="$name" --ntasks="$gpus" \
        --ntasks-per-node="$per_node" --gres="gpu:$per_node" --cpus-per-task="${CPUS_PER_TASK:-8}" \
        --kill-on-bad-exit=1 ${SRUN_ARGS:-} "${PYTHON:-python}" -u "$script" "$@"
}
