#!/usr/bin/env bash
# Follows an event stream with curl: follow.sh URL [LAST-EVENT-ID]. Writes type, ID and data of each event as a
# line, separated by tabs, and "stopped" when the server reports that nothing more will come, or not with this token.
set -euo pipefail
url=$1 id=${2:-} retry=3000

follow() {
	local line type=message data= next=$id
	while IFS= read -r line; do
		case $line in
		'id: '*) next=${line#*: } ;;
		'event: '*) type=${line#*: } ;;
		'data: '*) data+=${line#*: } ;; # line breaks lie between JSON tokens
		'retry: '*) retry=${line#*: } ;;
		': 204' | ': 401' | ': 403') # what curl adds below
			echo stopped
			exit
			;;
		'') # the event is complete; one that was cut off does not count
			id=$next
			case $type in
			tidings.live | tidings.heartbeat) ;;
			*) [[ -z $data ]] || printf '%s\t%s\t%s\n' "$type" "$id" "$data" ;;
			esac
			type=message data=
			;;
		esac
	done
}

while true; do
	follow < <(curl --silent --no-buffer --header "Last-Event-ID: $id" --write-out ': %{http_code}\n' "$url")
	sleep "$((retry / 1000)).$(printf %03d $((retry % 1000)))"
done
