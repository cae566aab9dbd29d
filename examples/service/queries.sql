-- name: NewestOrders :many
SELECT o.id, c.name AS customer, o.status, o.created_at
FROM orders o JOIN customer c ON c.id = o.customer_id
ORDER BY o.created_at DESC, o.id DESC
LIMIT $1;

-- name: PayOrder :execrows
UPDATE orders SET status = 'PAID' WHERE id = $1 AND status = 'NEW';
