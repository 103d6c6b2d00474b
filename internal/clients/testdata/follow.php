<?php
// Follows a stream with Symfony's EventSourceHttpClient: php follow.php URL. Writes lines as follow.sh does. The cursor
// is in the URL, because after a failed first connection the client reconnects without its own.
require '/usr/share/php/Symfony/Component/HttpClient/autoload.php';

use Symfony\Component\HttpClient\Chunk\ServerSentEvent;
use Symfony\Component\HttpClient\EventSourceHttpClient;
use Symfony\Component\HttpClient\HttpClient;

const KINDS = ['message', 'tidings.open', 'tidings.gap', 'tidings.end', 'tidings.bye'];
[, $url] = $argv;
[$id, $retry, $status] = ['', 3.0, 0];
while (!in_array($status, [204, 401, 403])) {
    if ($status) {
        usleep((int) ($retry * 1e6));
    }
    $client = new EventSourceHttpClient(HttpClient::create(['timeout' => 40]), $retry);
    $source = $client->connect($id ? $url . (str_contains($url, '?') ? '&' : '?') . "lastEventId=$id" : $url);
    try {
        foreach ($client->stream($source) as $chunk) {
            if ($chunk instanceof ServerSentEvent) {
                $id = $chunk->getId() ?: $id;
                $retry = $chunk->getRetry() ?: $retry;
                if (in_array($chunk->getType(), KINDS)) {
                    // line breaks lie between JSON tokens
                    echo $chunk->getType(), "\t$id\t", str_replace("\n", '', $chunk->getData()), "\n";
                }
            }
        }
    } catch (Throwable) {
        // it could not connect, the connection broke, or the response is not a stream
    }
    $status = $source->getInfo('http_code') ?: 1;
    $source->cancel();
}
echo "stopped\n";
