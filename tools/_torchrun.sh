# Sourced by dist_train.sh and dist_test.sh: torchrun on one machine or several.

# torchrun SCRIPT GPUS ARGUMENTS...
torchrun() {
    local script=$1 gpus=$2
    shift 2
    local meeting=(--standalone)
    if [ "${NNODES:-1}" -gt 1 ]; then
        meeting=(--nnodes "$NNODES" --node-rank "${NODE_RANK:?which of the machines this is}"
            --master-addr "${MASTER_ADDR:?address of machine 0}" --master-port "${PORT:-29500}")
    fi
    exec "${PYTHON:-python}" -m torch.distributed.run "${meeting[@]}" --nproc-per-node "$gpus" \
        "$script" "$@"
}
