-- What the shop does when a customer orders: one transaction, two rows.
BEGIN;

WITH placed AS (
    INSERT INTO orders (customer, total) VALUES (:'customer', :'total') RETURNING *
)
INSERT INTO outbox (topic, type, data)
SELECT 'orders', 'order.created', json_build_object('order', id, 'customer', customer, 'total', total::text)
FROM placed;

COMMIT;
