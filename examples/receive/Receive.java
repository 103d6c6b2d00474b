import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.Executors;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/**
 * Receives webhooks of a Tidings delivery: verifies each as Standard Webhooks says, and appends it to a file once,
 * however often it is sent.
 *
 * <pre>WEBHOOK_SECRET=whsec_… java Receive.java [-listen 127.0.0.1:4000] [FILE]</pre>
 *
 * Needs Java 17 or newer and nothing else. A line of the file is the message's ID, a space, and its body in base64.
 */
public class Receive {
    static final long TOLERANCE = 300; // seconds that the sender's clock may differ, and a request may be late
    static final int LARGEST = 16 << 20; // bytes of a body

    final byte[] key;
    final FileChannel file;
    final Set<String> seen = new HashSet<>();
    long size; // of the whole lines

    /** Reads which messages the file has. A line that a crash cut short is overwritten: it was never acknowledged. */
    Receive(byte[] key, Path path) throws IOException {
        this.key = key;
        file = FileChannel.open(path, StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE);
        String content = Files.readString(path, StandardCharsets.US_ASCII);
        size = content.lastIndexOf('\n') + 1;
        file.truncate(size);
        content.substring(0, (int) size).lines().forEach(line -> seen.add(line.substring(0, line.indexOf(' '))));
    }

    boolean verified(String id, String sent, String signatures, byte[] body) throws GeneralSecurityException {
        if (id == null || sent == null || signatures == null || !sent.matches("\\d{1,12}")
                || Math.abs(Instant.now().getEpochSecond() - Long.parseLong(sent)) > TOLERANCE) {
            return false;
        }
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(key, "HmacSHA256"));
        mac.update((id + "." + sent + ".").getBytes(StandardCharsets.UTF_8));
        byte[] want = ("v1," + Base64.getEncoder().encodeToString(mac.doFinal(body))).getBytes(StandardCharsets.UTF_8);
        for (String signature : signatures.split(" ")) { // two while a secret is replaced
            if (MessageDigest.isEqual(want, signature.getBytes(StandardCharsets.UTF_8))) {
                return true;
            }
        }
        return false;
    }

    synchronized void store(String id, byte[] body) throws IOException {
        if (seen.contains(id) || id.startsWith("test-")) {
            return;
        }
        ByteBuffer line = ByteBuffer.wrap(
                (id + " " + Base64.getEncoder().encodeToString(body) + "\n").getBytes(StandardCharsets.US_ASCII));
        int length = line.remaining();
        while (line.hasRemaining()) {
            file.write(line, size + line.position());
        }
        file.force(false);
        size += length;
        seen.add(id);
    }

    /** 204 says that the message is on disk; anything else makes Tidings send it again. */
    void handle(HttpExchange exchange) throws IOException {
        try (exchange) {
            byte[] body = exchange.getRequestBody().readNBytes(LARGEST + 1);
            var headers = exchange.getRequestHeaders();
            String id = headers.getFirst("webhook-id");
            int status = 204;
            if (body.length > LARGEST) {
                status = 413;
            } else if (!verified(id, headers.getFirst("webhook-timestamp"), headers.getFirst("webhook-signature"), body)) {
                status = 401;
            } else {
                store(id, body);
            }
            exchange.sendResponseHeaders(status, -1);
        } catch (GeneralSecurityException | RuntimeException e) {
            throw new IOException(e); // the connection is closed, so that Tidings sends the message again
        }
    }

    public static void main(String[] args) throws IOException {
        List<String> rest = new ArrayList<>(List.of(args));
        String listen = "127.0.0.1:4000";
        int flag = rest.indexOf("-listen");
        if (flag >= 0 && flag + 1 < rest.size()) {
            listen = rest.remove(flag + 1);
            rest.remove(flag);
        }
        String secret = System.getenv().getOrDefault("WEBHOOK_SECRET", "");
        if (!secret.startsWith("whsec_")) {
            System.err.println("WEBHOOK_SECRET: want the delivery's secret, whsec_ and base64");
            System.exit(2);
        }
        byte[] key = Base64.getDecoder().decode(secret.substring("whsec_".length()));
        Receive receive = new Receive(key, Path.of(rest.isEmpty() ? "received.txt" : rest.get(0)));
        int colon = listen.lastIndexOf(':');
        String host = listen.substring(0, colon);
        var address = new InetSocketAddress(host, Integer.parseInt(listen.substring(colon + 1)));
        HttpServer server = HttpServer.create(address, 0);
        server.createContext("/", receive::handle);
        server.setExecutor(Executors.newFixedThreadPool(8));
        server.start();
        System.out.println("listening on " + host + ":" + server.getAddress().getPort());
    }
}
