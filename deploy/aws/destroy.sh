#!/bin/sh
# Takes a deployment down again. The tables, with the ledger, and the bucket of artifacts stay, and a later deploy.sh of
# the same prefix takes them over. Secrets stay in any case: other deployments may use them, and the ledger's key vouches
# for checkpoints that are held elsewhere.
#
#   sh deploy/aws/destroy.sh [--prefix NAME] [--delete-data NAME]
#
#   --delete-data NAME   deletes tables and buckets too, for good; NAME is the prefix again, so that nobody does it by habit
set -eu
AWS=${AWS:-aws}

say() { printf '%s\n' "$*" >&2; }

prefix=cc-native delete=''
while [ $# -gt 0 ]; do
    case $1 in
        --prefix) prefix=$2; shift 2 ;;
        --delete-data) delete=${2:-}; shift 2 ;;
        *) sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
done
if [ -n "$delete" ] && [ "$delete" != "$prefix" ]; then
    say "destroy: --delete-data names $delete, and the deployment is $prefix; nothing was done"
    exit 2
fi
account=$("$AWS" sts get-caller-identity --query Account --output text)
region=${AWS_REGION:-${AWS_DEFAULT_REGION:-$("$AWS" configure get region || true)}}

"$AWS" cloudformation delete-stack --stack-name "$prefix"
"$AWS" cloudformation wait stack-delete-complete --stack-name "$prefix"
say "destroy: the stack $prefix is gone"

tables='action-intents execution-attempts execution-outcomes action-type-registry external-write-dedupe ledger tenants'
artifacts=$prefix-artifacts-$account-$region
if [ -z "$delete" ]; then
    say "destroy: kept: the tables $prefix-{$(echo "$tables" | tr ' ' ',')}, the buckets $artifacts and $prefix-deploy-$account-$region"
    exit 0
fi
for table in $tables; do
    "$AWS" dynamodb describe-table --table-name "$prefix-$table" >/dev/null 2>&1 || continue
    "$AWS" dynamodb update-table --table-name "$prefix-$table" --no-deletion-protection-enabled >/dev/null
    "$AWS" dynamodb wait table-exists --table-name "$prefix-$table"
    "$AWS" dynamodb delete-table --table-name "$prefix-$table" >/dev/null
    say "destroy: deleted the table $prefix-$table"
done
for bucket in "$artifacts" "$prefix-deploy-$account-$region"; do
    "$AWS" s3api head-bucket --bucket "$bucket" >/dev/null 2>&1 || continue
    # Versions and markers too, a thousand at a time.
    while :; do
        found=$("$AWS" s3api list-object-versions --bucket "$bucket" --max-items 500 --output json \
            --query '{Objects: [Versions, DeleteMarkers][][].{Key: Key, VersionId: VersionId}}')
        case $found in *VersionId*) ;; *) break ;; esac
        "$AWS" s3api delete-objects --bucket "$bucket" --delete "$found" >/dev/null
    done
    "$AWS" s3api delete-bucket --bucket "$bucket"
    say "destroy: deleted the bucket $bucket"
done
