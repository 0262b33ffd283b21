#!/usr/bin/env bash
# Register the cross-encoder that `python -m ranker serve` runs, and write the rerank pipeline with its id to a folder:
#   connect.sh SERVER URL FOLDER
# URL is that command's, as OpenSearch reaches it: http://…
set -euo pipefail
server=$1 url=${2%/} out=$3 here=$(dirname "$0")

ask() { # METHOD PATH FILE
  curl -sS --fail-with-body -H "Content-Type: application/json" -X "$1" "$server/$2" -d "$(sed "s|URL|${url//&/\\&}|" "$3")"
}
field() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }

answer=$(ask PUT _cluster/settings "$here/connector_settings.json") || { echo "$answer" >&2; exit 1; }
answer=$(ask POST _plugins/_ml/connectors/_create "$here/connector.json") || { echo "$answer" >&2; exit 1; }
body='{"name": "rerank", "function_name": "remote", "connector_id": "'$(field connector_id <<< "$answer")'"}'
answer=$(ask POST "_plugins/_ml/models/_register?deploy=true" <(echo "$body")) || { echo "$answer" >&2; exit 1; }
id=$(field model_id <<< "$answer")
mkdir -p "$out"
sed "s/RANKER_ID/$id/" "$here/pipeline_rerank.json" > "$out/pipeline_rerank.json"
echo "ranker: $id"
