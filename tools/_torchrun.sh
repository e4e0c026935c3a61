# Runs torchrun on one machine or several. Sourced by dist_train.sh and dist_test.sh.

# torchrun SCRIPT GPUS ARGUMENTS...
torchrun() {
    local script=$1 gpus=$2
    shift 2
    local meeting=(--standalone)
    if [ "${NNODES:-1}" -gt 1 ]; then
        meeting=(--nnodes "$NNODES" --node-rank "${NODE_RANK:?set it to the number of this machine, from 0}"
            --master-addr "${MASTER_ADDR:?set it to the address of machine 0}" --master-port "${PORT:-29500}")
    fi
    exec "${PYTHON:-python}" -m torch.distributed.run "${meeting[@]}" --nproc-per-node "$gpus" \
        "$script" "$@"
}
