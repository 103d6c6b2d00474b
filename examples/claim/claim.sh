#!/usr/bin/env bash
# Takes an order for somebody, unless it is already taken, and says who has it:
#
#     ./claim.sh ORDER NAME
#
# TIDINGS_URL is the server's address, TIDINGS_TOKEN the token for it. Needs bash 4 and curl 7.55 or newer.
set -euo pipefail

order=${1:?ORDER} name=${2:?NAME}
topic=${TIDINGS_URL:-http://127.0.0.1:8080}
topic=${topic%/}/v1/topics/orders.$order
token=${TIDINGS_TOKEN:-}

request() { # passed as a file, the token is not in the process list
	curl --silent --show-error --max-time 10 \
		--header @<(printf '%s' "${token:+Authorization: Bearer $token}") "$@"
}

# The basis of the decision: the order's newest event, and whether any of its events says that it is taken.
newest=$(request --fail --head "$topic" | sed -nE 's/^etag: *("[^"]+").*/\1/Ip')
taken() { request --fail "$topic/events?since=earliest&limit=1000" | sed -nE 's/.*"type":"order.taken"[^}]*"by":"([^"]*)".*/\1/p'; }

by=$(taken)
if [[ -z $by ]]; then
	# Stored only if nothing arrived in between: of many concurrent tries, one succeeds.
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
