-- Inserts a new event, with a new id, for each order paid between :since and :until that isn't completed. Run by
-- `republish`.
with candidates as (
    select o.id, o.status, gen_random_uuid() as message_id,
           exists (select from order_events e where e.order_id = o.id and e.event = 'confirmation_sent') as is_confirmed
    from orders o
    where o.status in ('paid', 'fulfilled', 'delivered')
      and exists (
          select from order_events e
          where e.order_id = o.id and e.event = 'paid'
            and e.at between :'since'::timestamptz and :'until'::timestamptz
      )
      -- Its event isn't waiting in the outbox already.
      and not exists (
          select from outbox where event = 'order.paid' and body ->> 'order_id' = o.id::text
      )
), lost as (
    select * from candidates where status = 'paid' or not is_confirmed
), completed as (
    -- Work that the timeline proves is recorded in the inbox under the new id, so that it isn't repeated. Counting an order
    -- for the best sellers is recorded only under the old id; if other work was done, the order was most likely counted.
    insert into inbox (message_id, consumer)
    select message_id, 'confirmation_email' from lost where is_confirmed
    union all
    select message_id, 'popularity' from lost where is_confirmed or status <> 'paid'
), published as (
    insert into outbox (message_id, event, body)
    select message_id, 'order.paid', jsonb_build_object('v', 1, 'order_id', id) from lost
    returning 1
)
select count(*) from published;
