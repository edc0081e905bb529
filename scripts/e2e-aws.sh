#!/bin/sh
# One execution through a deployment, looked at from outside with the `aws` command line alone: seeds an approved intent,
# puts the ACTION_APPROVED event, waits, reads attempt and outcome by key, queries the ledger by trace, verifies its
# chains, and cleans up. Prints one line a step; exit status 1 when anything is not as it must be.
#
#   sh scripts/e2e-aws.sh          after deploy/aws/deploy.sh, which writes .env (ENV_FILE names another one)
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
AWS=${AWS:-aws}
PYTHON=${PYTHON:-$root/.venv/bin/python}
WAIT_SECONDS=${WAIT_SECONDS:-120}
ENV_FILE=${ENV_FILE:-$root/.env}
[ -f "$ENV_FILE" ] || { echo "e2e: $ENV_FILE is missing; run deploy/aws/deploy.sh" >&2; exit 1; }
. "$ENV_FILE"
export AWS_REGION

fail() { echo "e2e: FAILED: $*" >&2; exit 1; }

seeded=$("$PYTHON" "$root/scripts/e2e_aws.py" seed "$STORE_URL")
set -- $seeded
intent=$1 tenant=$2 account=$3
partition="TENANT#$tenant#ACCOUNT#$account"
echo "e2e: seeded the approved intent $intent"

clean() {
    for place in "action-intents ACTION_INTENT#$intent" "execution-attempts EXECUTION#$intent" "execution-outcomes OUTCOME#$intent"; do
        "$AWS" dynamodb delete-item --table-name "$PREFIX-${place%% *}" \
            --key "{\"pk\":{\"S\":\"$partition\"},\"sk\":{\"S\":\"${place#* }\"}}" >/dev/null || true
    done
}
trap clean EXIT

detail="{\\\"data\\\":{\\\"action_intent_id\\\":\\\"$intent\\\",\\\"tenant_id\\\":\\\"$tenant\\\",\\\"account_id\\\":\\\"$account\\\"}}"
refused=$("$AWS" events put-events --query FailedEntryCount --output text --entries \
    "[{\"Source\":\"cc-native\",\"DetailType\":\"ACTION_APPROVED\",\"EventBusName\":\"$EVENT_BUS\",\"Detail\":\"$detail\"}]")
[ "$refused" = 0 ] || fail "the bus refused the event"
echo "e2e: put the event on $EVENT_BUS"

item() {
    "$AWS" dynamodb get-item --consistent-read --table-name "$PREFIX-$1" --output text \
        --key "{\"pk\":{\"S\":\"$partition\"},\"sk\":{\"S\":\"$2\"}}" --query "$3"
}
waited=0
while :; do
    status=$(item execution-attempts "EXECUTION#$intent" Item.status.S)
    case $status in None | RUNNING | '') ;; *) break ;; esac
    [ "$waited" -lt "$WAIT_SECONDS" ] || fail "the run is ${status:-not started} after $waited seconds"
    sleep 1
    waited=$((waited + 1))
done
[ "$status" = SUCCEEDED ] || fail "the attempt is $status"
echo "e2e: the attempt is SUCCEEDED"
outcome=$(item execution-outcomes "OUTCOME#$intent" Item.status.S)
[ "$outcome" = SUCCEEDED ] || fail "the outcome is $outcome"
echo "e2e: the outcome is SUCCEEDED"

trace=$(item execution-attempts "EXECUTION#$intent" Item.trace_id.S)
case $trace in None | '') fail "the attempt names no trace" ;; esac
found=''
while [ "$waited" -le "$WAIT_SECONDS" ]; do
    found=$("$AWS" dynamodb query --table-name "$PREFIX-ledger" --index-name gsi1-index --output text \
        --key-condition-expression 'gsi1pk = :trace' --query 'Items[].event_type.S' \
        --expression-attribute-values "{\":trace\":{\"S\":\"TRACE#$trace\"}}")
    case $found in *ACTION_EXECUTED*) break ;; esac
    sleep 1
    waited=$((waited + 1))
done
for event in EXECUTION_STARTED WRITE_PERMITTED TOOL_INVOKED ACTION_EXECUTED; do
    case $found in *"$event"*) ;; *) fail "the ledger of trace $trace has no $event" ;; esac
done
echo "e2e: the ledger of trace $trace tells it all"

"$PYTHON" "$root/scripts/e2e_aws.py" verify "$STORE_URL" "$tenant"
echo "e2e: passed"
