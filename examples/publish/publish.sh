#!/usr/bin/env bash
# Publishes that an order was created, once however often it runs for this order, and prints the event's ID:
#
#     ./publish.sh [ORDER]
#
# TIDINGS_URL is the server's address, TIDINGS_TOKEN the token for it. Needs bash 4 and curl 7.55 or newer.
set -euo pipefail

give_up_after=60 # seconds
longest_pause=10000 # milliseconds

order=${1:-1001}
url=${TIDINGS_URL:-http://127.0.0.1:8080}
token=${TIDINGS_TOKEN:-}

request=(curl --silent --show-error --max-time 10
	--header 'Content-Type: application/json'
	# Named after what it announces, so that it is the same even after this program crashes.
	--header "Idempotency-Key: order-$order-created"
	--data-binary '{"order":"'"$order"'","total":"79.87","currency":"EUR"}'
	"${url%/}/v1/topics/orders/events?type=order.created")

answer=$(mktemp -d)
trap 'rm -rf "$answer"' EXIT

# post sets status to the response's, or 000 if there was none or it was cut off.
post() {
	rm -f "$answer"/*
	# Passed as a file, the token is not in the process list.
	status=$("${request[@]}" --header @<(printf '%s' "${token:+Authorization: Bearer $token}") \
		--dump-header "$answer/headers" --output "$answer/body" --write-out '%{http_code}') || status=000
}

pause=100
while post; do
	case $status in
	200 | 201)
		sed -E 's/.*"id":"([^"]+)".*/\1/' "$answer/body"
		exit
		;;
	000 | 408 | 429 | 5??) ;; # retry
	*)
		printf 'refused with %s: %s\n' "$status" "$(cat "$answer/body")" >&2
		exit 1
		;;
	esac
	after=$(sed -nE 's/^retry-after: *([0-9]+).*/\1/Ip' "$answer/headers" 2>/dev/null) || after=0
	wait=$((${after:-0} * 1000 + RANDOM * pause / 32768))
	if ((SECONDS * 1000 + wait > give_up_after * 1000)); then
		printf 'gave up, the event may be stored or not: the last answer was %s\n' "$status" >&2
		exit 1
	fi
	sleep "$((wait / 1000)).$(printf '%03d' $((wait % 1000)))"
	pause=$((pause * 2 < longest_pause ? pause * 2 : longest_pause))
done
