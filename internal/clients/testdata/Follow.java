import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import okhttp3.OkHttpClient;
import okhttp3.Request;

/** Follows a stream: java Follow.java okhttp|java URL. Writes lines as follow.sh does. */
class Follow {
    static final Set<String> KINDS = Set.of("message", "tidings.open", "tidings.gap", "tidings.end", "tidings.bye");
    static final HttpClient plain = HttpClient.newHttpClient();
    static final OkHttpClient okhttp = new OkHttpClient.Builder().readTimeout(40, TimeUnit.SECONDS).build();

    static String id = "", next, kind;
    static StringBuilder data;
    static long retry = 3000;

    static void begin() {
        next = id;
        kind = "message";
        data = new StringBuilder();
    }

    static void line(String line) {
        String value = line.substring(line.indexOf(' ') + 1);
        if (line.startsWith("id:")) next = value;
        else if (line.startsWith("event:")) kind = value;
        else if (line.startsWith("data:")) data.append(value); // line breaks lie between JSON tokens
        else if (line.startsWith("retry:")) retry = Long.parseLong(value);
        else if (line.isEmpty()) {
            id = next;
            if (data.length() > 0 && KINDS.contains(kind)) System.out.println(kind + "\t" + id + "\t" + data);
            begin();
        }
    }

    static int withOkHttp(String url) throws IOException {
        Request request = new Request.Builder().url(url).header("Last-Event-ID", id).build();
        try (var answer = okhttp.newCall(request).execute()) {
            if (answer.code() != 200) return answer.code();
            var lines = answer.body().source();
            for (String line; (line = lines.readUtf8Line()) != null; ) line(line);
            return answer.code();
        }
    }

    static int withJava(String url) throws Exception {
        var builder = HttpRequest.newBuilder(URI.create(url));
        if (!id.isEmpty()) builder.header("Last-Event-ID", id);
        var answer = plain.send(builder.build(), BodyHandlers.ofLines());
        try (var lines = answer.body()) {
            if (answer.statusCode() == 200) lines.forEach(Follow::line);
        }
        return answer.statusCode();
    }

    public static void main(String[] args) throws Exception {
        for (;;) {
            begin();
            try {
                int status = args[0].equals("okhttp") ? withOkHttp(args[1]) : withJava(args[1]);
                if (Set.of(204, 401, 403).contains(status)) break;
            } catch (IOException | RuntimeException e) {
                // it could not connect, or the connection broke
            }
            Thread.sleep(retry);
        }
        System.out.println("stopped");
    }
}
