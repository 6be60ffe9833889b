//! How many orders reached each status in this process: `orders_total`.

/// Values of the label `status`.
const STATUSES: [&str; 6] = [
    "pending_payment",
    "paid",
    "payment_failed",
    "cancelled",
    "fulfilled",
    "delivered",
];

/// Describes the counters and starts them at 0, so that a rate is known from the first order on.
pub fn init_order_metrics() {
    metrics::describe_counter!("orders_total", "Orders that reached a state in this process.");
    for status in STATUSES {
        metrics::counter!("orders_total", "status" => status).absolute(0);
    }
}

/// Counts an order that reached this status.
pub fn order_reached(status: &'static str) {
    orders_reached(status, 1);
}

/// Counts several orders that reached this status.
pub fn orders_reached(status: &'static str, orders: u64) {
    metrics::counter!("orders_total", "status" => status).increment(orders);
}
