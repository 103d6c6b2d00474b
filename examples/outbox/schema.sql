-- The events of committed transactions that Tidings has not acknowledged yet. Rows are only ever inserted,
-- by the transaction that makes the event true, and deleted, by the poller.
CREATE TABLE outbox (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- the order to publish in
    key      uuid NOT NULL DEFAULT gen_random_uuid(),         -- the Idempotency-Key
    topic    text NOT NULL,
    type     text NOT NULL,
    data     json NOT NULL -- not jsonb: a retry must send the same bytes
);

-- What the events are about; yours looks different.
CREATE TABLE orders (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer text NOT NULL,
    total    numeric(12, 2) NOT NULL
);
