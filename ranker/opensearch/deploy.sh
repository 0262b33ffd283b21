#!/usr/bin/env bash
# Register and deploy the models of this folder, and write its other requests, with the models' ids, to a folder:
#   deploy.sh SERVER URL FOLDER
# URL is this folder's as the server reads it: file:///… or https://…
set -euo pipefail
server=$1 url=$2 out=$3 here=$(dirname "$0") ids=()

ask() { curl -sS --fail-with-body -H "Content-Type: application/json" -X POST "$server/_plugins/_ml/models/$1" -d "$2"; }
field() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }

finish() { # wait for the task of an answer, and print its model's id
  local task answer
  task=$(field task_id <<< "$1")
  while answer=$(curl -sS --fail-with-body "$server/_plugins/_ml/tasks/$task"); do
    case $(field state <<< "$answer") in
      COMPLETED) field model_id <<< "$answer" && return ;;
      *FAILED | *ERROR | CANCELLED) break ;;
    esac
    sleep 0.5
  done
  echo "$answer" >&2
  return 1
}

for name in retriever ranker; do
  [ -f "$here/register_$name.json" ] || continue
  answer=$(ask _register "$(sed "s|\"URL/|\"$url/|" "$here/register_$name.json")") || { echo "$answer" >&2; exit 1; }
  id=$(finish "$answer")
  finish "$(ask "$id/_deploy" "")" > /dev/null
  ids+=(-e "s/${name^^}_ID/$id/")
  echo "$name: $id"
done
mkdir -p "$out"
for file in "$here"/{index,ingest,pipeline,search}*.json; do
  if [ -f "$file" ]; then sed "${ids[@]}" "$file" > "$out/${file##*/}"; fi
done
