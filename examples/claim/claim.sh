#!/usr/bin/env bash
# Takes an order for somebody, unless it is taken, and says who has it:
#
#     ./claim.sh ORDER NAME
#
# TIDINGS_URL and TIDINGS_TOKEN say where and as whom. Needs bash 4 and curl 7.55 or newer.
set -euo pipefail

order=${1:?ORDER} name=${2:?NAME}
topic=${TIDINGS_URL:-http://127.0.0.1:8080}
topic=${topic%/}/v1/topics/orders.$order
token=${TIDINGS_TOKEN:-}

request() { # as a file the token does not show in the list of processes
	curl --silent --show-error --max-time 10 \
		--header @<(printf '%s' "${token:+Authorization: Bearer $token}") "$@"
}

# What is decided on: the newest event of the order, and whether one of them says that it is taken.
newest=$(request --fail --head "$topic" | sed -nE 's/^etag: *("[^"]+").*/\1/Ip')
taken() { request --fail "$topic/events?since=earliest&limit=1000" | sed -nE 's/.*"type":"order.taken"[^}]*"by":"([^"]*)".*/\1/p'; }

by=$(taken)
if [[ -z $by ]]; then
	# Stored only if nothing came in between: of many who try at once, one gets through.
	status=$(request --output /dev/null --write-out '%{http_code}' --header "If-Match: $newest" \
		--header 'Content-Type: application/json' --data-binary '{"by":"'"$name"'"}' "$topic/events?type=order.taken")
	case $status in
	201) by=$name ;;
	412) by=$(taken) ;;
	*)
		printf 'not known, the answer was %s\n' "$status" >&2
		exit 1
		;;
	esac
fi
printf '%s has order %s\n' "$by" "$order"
[[ $by == "$name" ]]
