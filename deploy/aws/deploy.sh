#!/bin/sh
# Deploys Enactor to an AWS account with the `aws` command line, writes the stack's outputs to .env, and runs one
# verified execution through it (scripts/e2e-aws.sh). Running it again updates what is there.
#
#   sh deploy/aws/deploy.sh --issuer https://issuer.example --audience enactor [options] [Parameter=Value ...]
#
#   --prefix NAME      what all names begin with (cc-native)
#   --package FILE     the package (dist/enactor-aws.zip; made with `make package-aws` when it is missing)
#   --env FILE         where the outputs go (.env)
#   --no-e2e           stop after the deployment
#   Parameter=Value    any parameter of deploy/aws/template.yaml, for example Tenants='["acme"]' LogRetentionDays=30
#
# AWS=/path/to/aws chooses the command line, PYTHON the interpreter; region and credentials are the SDK's own.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
AWS=${AWS:-aws}

say() { printf '%s\n' "$*" >&2; }
usage() { sed -n '2,14s/^# \{0,1\}//p' "$0" >&2; exit 2; }

prefix=cc-native issuer='' audience='' package=$root/dist/enactor-aws.zip env=$root/.env e2e=yes
while [ $# -gt 0 ]; do
    case $1 in
        --prefix) prefix=$2; shift 2 ;;
        --issuer) issuer=$2; shift 2 ;;
        --audience) audience=$2; shift 2 ;;
        --package) package=$2; shift 2 ;;
        --env) env=$2; shift 2 ;;
        --no-e2e) e2e=no; shift ;;
        *=*) break ;;
        *) usage ;;
    esac
done
[ -n "$issuer" ] && [ -n "$audience" ] || usage
command -v "$AWS" >/dev/null 2>&1 || { say "deploy: the AWS command line is missing: https://aws.amazon.com/cli/"; exit 1; }

if [ ! -f "$package" ]; then
    say "deploy: making $package"
    make -C "$root" package-aws
fi
account=$("$AWS" sts get-caller-identity --query Account --output text)
region=$("$AWS" configure get region || true)
region=${AWS_REGION:-${AWS_DEFAULT_REGION:-$region}}
[ -n "$region" ] || { say "deploy: no region; set AWS_REGION"; exit 1; }

bucket=$prefix-deploy-$account-$region
if ! "$AWS" s3api head-bucket --bucket "$bucket" >/dev/null 2>&1; then
    say "deploy: making the bucket $bucket for packages"
    "$AWS" s3 mb "s3://$bucket" >/dev/null
    "$AWS" s3api put-public-access-block --bucket "$bucket" --public-access-block-configuration \
        BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true
fi
if command -v sha256sum >/dev/null 2>&1; then sum=$(sha256sum "$package"); else sum=$(shasum -a 256 "$package"); fi
key=enactor-$(printf '%s' "$sum" | cut -c1-32).zip
"$AWS" s3 cp --only-show-errors "$package" "s3://$bucket/$key"

# A stack that was removed has left its data; a new one takes them over.
exists=''
if ! "$AWS" cloudformation describe-stacks --stack-name "$prefix" >/dev/null 2>&1 &&
    "$AWS" dynamodb describe-table --table-name "$prefix-ledger" >/dev/null 2>&1; then
    say "deploy: taking over the tables that are there"
    exists='DataExists=true'
fi

template=$(cksum <"$here/template.yaml" | cut -d' ' -f1)
"$AWS" s3 cp --only-show-errors "$here/template.yaml" "s3://$bucket/template-$template.yaml"
url=https://$bucket.s3.$region.amazonaws.com/template-$template.yaml

# Each parameter as the command line wants it: JSON, so that values may hold commas and quotes.
parameters() {
    first=yes
    printf '['
    for given in "$@"; do
        value=$(printf '%s' "${given#*=}" | sed 's/\\/\\\\/g; s/"/\\"/g')
        [ $first = yes ] || printf ','
        first=no
        printf '{"ParameterKey":"%s","ParameterValue":"%s"}' "${given%%=*}" "$value"
    done
    printf ']'
}

# What an update does not name stays as it is.
kept_parameters() {
    for name in $("$AWS" cloudformation describe-stacks --stack-name "$prefix" --output text \
        --query 'Stacks[0].Parameters[].ParameterKey'); do
        case $wanted in *"\"ParameterKey\":\"$name\""*) ;; *)
            printf ',{"ParameterKey":"%s","UsePreviousValue":true}' "$name" ;;
        esac
    done
}

say "deploy: the stack $prefix, account $account, region $region"
wanted=$(parameters Prefix="$prefix" PackageBucket="$bucket" PackageKey="$key" Issuer="$issuer" Audience="$audience" $exists "$@")
if "$AWS" cloudformation describe-stacks --stack-name "$prefix" >/dev/null 2>&1; then
    kept=$(kept_parameters)
    wanted="${wanted%]}$kept]"
    if answer=$("$AWS" cloudformation update-stack --stack-name "$prefix" --template-url "$url" \
        --capabilities CAPABILITY_IAM --parameters "$wanted" 2>&1); then
        "$AWS" cloudformation wait stack-update-complete --stack-name "$prefix"
    else
        case $answer in *"No updates are to be performed"*) say "deploy: nothing changed" ;; *) say "$answer"; exit 1 ;; esac
    fi
else
    "$AWS" cloudformation create-stack --stack-name "$prefix" --template-url "$url" \
        --capabilities CAPABILITY_IAM --parameters "$wanted" >/dev/null
    "$AWS" cloudformation wait stack-create-complete --stack-name "$prefix"
fi

outputs=$("$AWS" cloudformation describe-stacks --stack-name "$prefix" --output text \
    --query 'Stacks[0].Outputs[].[OutputKey,OutputValue]')
output() { printf '%s\n' "$outputs" | awk -v key="$1" '$1 == key { print $2 }'; }
{
    echo "PREFIX='$prefix'"
    echo "AWS_REGION='$region'"
    echo "ENACTOR_URL='$(output ApiUrl)'"
    echo "STORE_URL='$(output StoreUrl)'"
    echo "STATE_MACHINE_ARN='$(output StateMachineArn)'"
    echo "EVENT_BUS='$(output EventBusName)'"
    echo "APPROVALS_QUEUE_URL='$(output ApprovalsQueueUrl)'"
    echo "DEAD_LETTERS_URL='$(output ApprovalsDeadLettersUrl)'"
    echo "ARTIFACTS_BUCKET='$(output ArtifactsBucket)'"
} >"$env"
say "deploy: outputs are in $env"

# The key that signs the ledger's logs is made once, and goes nowhere but into its secret.
parameter() {
    "$AWS" cloudformation describe-stacks --stack-name "$prefix" --output text \
        --query "Stacks[0].Parameters[?ParameterKey=='$1'].ParameterValue"
}
secret=$(parameter SecretsPrefix)/ledger
named=$(parameter LedgerKeys)
if [ -z "$named" ] && ! "$AWS" secretsmanager describe-secret --secret-id "$secret" >/dev/null 2>&1; then
    say "deploy: making the key that signs the ledger: the secret $secret"
    made=$(umask 077 && mktemp)
    "${PYTHON:-$root/.venv/bin/python}" -c 'import json
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from enactor.domain.note import Signer
print(json.dumps({"key": Signer(Ed25519PrivateKey.generate()).pem()}))' >"$made"
    "$AWS" secretsmanager create-secret --name "$secret" --secret-string "file://$made" >/dev/null
    rm -f "$made"
fi

# The first opening of the store says how it is laid out; of all functions the sweeper alone may write that.
answer=$(mktemp)
"$AWS" lambda invoke --function-name "$prefix-sweeper" --payload '{}' "$answer" >/dev/null
if grep -q errorType "$answer"; then
    say "deploy: the sweeper failed: $(cat "$answer")"
    rm -f "$answer"
    exit 1
fi
rm -f "$answer"

[ "$e2e" = no ] || ENV_FILE=$env sh "$root/scripts/e2e-aws.sh"
