-- What is said to RabbitMQ, and what was heard.

-- Events on their way out. A row is written in the transaction that makes it true, and deleted when the broker has
-- confirmed it: the table holds what is still to be said, so that its primary key is the only index that the relay needs.
create table outbox (
    id            bigint      generated always as identity primary key,
    -- The message's id, by which consumers know it again.
    message_id    uuid        not null,
    created_at    timestamptz not null default clock_timestamp(),
    -- For example `order.paid`: the routing key.
    event         text        not null check (length(event) between 1 and 64),
    -- The message's body: ids and a version, never a copy of what they name.
    body          jsonb       not null check (jsonb_typeof(body) = 'object'),
    -- W3C trace context of the request that caused it.
    trace_context text        check (length(trace_context) <= 255)
);
-- It is always nearly empty and always changing: vacuum early, by rows, not by share.
alter table outbox set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- What a consumer has done with a message, written in the transaction of its work. A message that comes again is
-- acknowledged and not worked on.
create table inbox (
    message_id uuid        not null,
    consumer   text        not null check (length(consumer) between 1 and 64),
    -- Null while somebody works on it.
    done_at    timestamptz default now(),
    -- What can't be undone is claimed before it is done: an email. Until then no twin of the message is worked on; after
    -- it, whoever claimed it is taken for dead.
    claimed_until timestamptz,
    primary key (message_id, consumer),
    check (done_at is not null or claimed_until is not null)
);

-- Parcels. Made once for an order, whoever asks again.
create table shipments (
    order_id        uuid        primary key constraint shipments_order_id_fkey references orders (id) on delete cascade,
    created_at      timestamptz not null default now(),
    carrier_label   text        not null check (length(carrier_label) between 1 and 255),
    tracking_number text        not null constraint shipments_tracking_number_key unique
                                check (length(tracking_number) between 1 and 255),
    delivered_at    timestamptz
);
