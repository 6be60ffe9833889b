-- For orders that were paid between :since and :until and are not done: the event again, under a new id. `say-again` runs it.
with undone as (
    select o.id, o.status, gen_random_uuid() as message_id,
           exists (select from order_events e where e.order_id = o.id and e.event = 'confirmation_sent') as is_confirmed
    from orders o
    where o.status in ('paid', 'fulfilled', 'delivered')
      and exists (
          select from order_events e
          where e.order_id = o.id and e.event = 'paid'
            and e.at between :'since'::timestamptz and :'until'::timestamptz
      )
      -- It is still to be said.
      and not exists (
          select from outbox where event = 'order.paid' and body ->> 'order_id' = o.id::text
      )
), lost as (
    select * from undone where status = 'paid' or not is_confirmed
), done as (
    -- What the timeline says was done is noted as done under the new id, too. Whether an order was counted among the best
    -- sellers is noted nowhere but under the old one: where something else was done, so was that, most likely.
    insert into inbox (message_id, consumer)
    select message_id, 'confirmation_email' from lost where is_confirmed
    union all
    select message_id, 'popularity' from lost where is_confirmed or status <> 'paid'
), said as (
    insert into outbox (message_id, event, body)
    select message_id, 'order.paid', jsonb_build_object('v', 1, 'order_id', id) from lost
    returning 1
)
select count(*) from said;
