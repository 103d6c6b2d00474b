import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/**
 * Publishes that an order was created, once however often it runs for this order, and prints the event's ID:
 *
 * <pre>java Publish.java [ORDER]</pre>
 *
 * TIDINGS_URL is the server's address, TIDINGS_TOKEN the token for it. Needs Java 17 or newer and nothing else.
 */
public final class Publish {
    private static final Duration GIVE_UP_AFTER = Duration.ofSeconds(60);
    private static final long LONGEST_PAUSE = 10_000; // milliseconds

    private final HttpClient client = HttpClient.newHttpClient();
    private final String url = Objects.requireNonNullElse(System.getenv("TIDINGS_URL"), "http://127.0.0.1:8080");
    private final String token = Objects.requireNonNullElse(System.getenv("TIDINGS_TOKEN"), "");

    public static void main(String[] args) throws InterruptedException {
        String order = args.length > 0 ? args[0] : "1001";
        String event = "{\"order\":\"%s\",\"total\":\"79.87\",\"currency\":\"EUR\"}".formatted(order);
        try {
            // The key is named after what it announces, so that it is the same even after a crash.
            System.out.println(new Publish().publish("orders", "order.created", "order-" + order + "-created", event));
        } catch (PublishException e) {
            System.err.println(e.getMessage());
            System.exit(1);
        }
    }

    /** Publishes one event and returns its ID. The key names it: a repeated publish is the same event. */
    String publish(String topic, String type, String key, String json) throws PublishException, InterruptedException {
        HttpRequest.Builder builder = HttpRequest.newBuilder(URI.create(url.replaceFirst("/$", "") + "/v1/topics/" + topic + "/events"))
                .header("Content-Type", "application/json")
                .header("Event-Type", type)
                .header("Idempotency-Key", key)
                .POST(BodyPublishers.ofString(json));
        if (!token.isEmpty()) {
            builder.header("Authorization", "Bearer " + token);
        }
        HttpRequest request = builder.build();

        long start = System.nanoTime();
        for (long pause = 100; ; pause = Math.min(2 * pause, LONGEST_PAUSE)) {
            String failure;
            long wait = ThreadLocalRandom.current().nextLong(pause);
            // The timeout of a request ends with the headers; this one covers the body, too.
            CompletableFuture<HttpResponse<String>> pending = client.sendAsync(request, BodyHandlers.ofString());
            try {
                HttpResponse<String> answer = pending.get(10, TimeUnit.SECONDS);
                int status = answer.statusCode();
                if (status == 200 || status == 201) {
                    return idOf(answer);
                }
                if (status != 408 && status != 429 && status < 500) {
                    // The body says why, in JSON: title, detail and code.
                    throw new PublishException("refused with " + status + ": " + answer.body());
                }
                failure = "the server answered " + status;
                wait += 1000 * retryAfter(answer);
            } catch (ExecutionException | TimeoutException e) { // no response, or it was cut off
                failure = "no answer: " + e;
            } finally {
                pending.cancel(true);
            }
            if (System.nanoTime() - start + wait * 1_000_000 > GIVE_UP_AFTER.toNanos()) {
                throw new PublishException("gave up, the event may be stored or not: " + failure);
            }
            Thread.sleep(wait);
        }
    }

    /** Reads the ID from a header, because the JDK has no JSON parser. */
    private static String idOf(HttpResponse<?> answer) {
        String location = answer.headers().firstValue("Location").orElseThrow();
        return location.substring(location.lastIndexOf('/') + 1);
    }

    /** Seconds that the server asks to wait. */
    private static long retryAfter(HttpResponse<?> answer) {
        return answer.headers().firstValue("Retry-After").filter(s -> s.matches("\\d{1,9}")).map(Long::parseLong).orElse(0L);
    }

    static final class PublishException extends Exception {
        PublishException(String message) {
            super(message);
        }
    }
}
