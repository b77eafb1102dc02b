#!/usr/bin/env bash
# What the sample has created on a real account.
#
#     live_account.sh list      prints what there is, nothing if there is nothing
#     live_account.sh delete    deletes all of it, and returns when it is gone
#
# The Azure CLI is signed in, and has the names of the accounts from AZURE_BATCH_ACCOUNT,
# AZURE_BATCH_ENDPOINT and AZURE_STORAGE_ACCOUNT.
set -euo pipefail
cd "$(dirname "$0")/.."

patience=1200  # seconds; nodes take some minutes to go

settings='import batch_python_tutorial_ffmpeg as script
print(script._POOL_ID, script._JOB_ID)
print(script._INPUT_CONTAINER_NAME, script._OUTPUT_CONTAINER_NAME)'
{ read -r pool job; read -r input output; } < <(python -c "$settings")

list() {
    az batch pool list --query "[?id=='$pool'].join(' ', ['pool', id])" --output tsv
    az batch job list --query "[?id=='$job'].join(' ', ['job', id])" --output tsv
    for container in "$input" "$output"; do
        exists=$(az storage container exists --name "$container" --auth-mode login --query exists --output tsv)
        if [ "$exists" = true ]; then
            echo "container $container"
        fi
    done
}

delete() {
    # Most have been deleted by the script: that one does not exist is no error.
    az batch pool delete --pool-id "$pool" --yes || true
    az batch job delete --job-id "$job" --yes || true
    az storage container delete --name "$input" --auth-mode login --output none || true
    az storage container delete --name "$output" --auth-mode login --output none || true

    while left=$(list) && [ -n "$left" ]; do
        if (( SECONDS > patience )); then
            echo "::error::Still there, and a pool bills: ${left//$'\n'/, }"
            exit 1
        fi
        sleep 15
    done
    list  # an error ends the loop above, too
}

"$1"
