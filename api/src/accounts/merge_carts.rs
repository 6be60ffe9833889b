//! A guest's cart at sign-in: its items go into the customer's newest cart that isn't bought yet, or it becomes the
//! customer's, who has none, or one in another currency. Called by `sign_in.rs`.

use uuid::Uuid;

use crate::database::Session;
use crate::opaque_token::TokenHash;

/// The most of one variant that a cart holds, as the table has it.
const MAX_QUANTITY: i32 = 1000;

/// The most lines that a cart holds. A customer's own come first; of the guest's, those that were put in first.
const MAX_LINES: i64 = 100;

/// Merges the guest's cart that a token opens, and gives the customer's cart that it went into. `None` when the token
/// opens none, or one that was bought: there is nothing to bring along.
///
/// # Errors
/// When a statement fails; then nothing has changed.
pub async fn merge(
    session: &mut Session<'_>,
    customer: Uuid,
    cart_token: &TokenHash,
) -> Result<Option<Uuid>, sqlx::Error> {
    let mut transaction = session.begin().await?;
    // Both are locked before it is asked whether they are bought: an order that is being placed holds the lock, and is
    // seen by the statement after.
    let guests = sqlx::query_scalar!(
        "select id from carts where token_hash = $1 for update",
        cart_token.as_slice()
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(guests) = guests else {
        return Ok(None);
    };
    let own = sqlx::query_scalar!(
        "select id from carts
         where customer_id = $1 and not exists (select from orders where cart_id = carts.id)
         order by id desc limit 1
         for update",
        customer
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let met = sqlx::query!(
        r#"select exists (select from orders where cart_id = $1) as "guests_is_bought!",
                  exists (select from orders where cart_id = $2) as "own_is_bought!",
                  (select count(distinct p.currency) from cart_items i
                   join variants v on v.id = i.variant_id
                   join products p on p.id = v.product_id
                   where i.cart_id in ($1, $2)) as "currencies!""#,
        guests,
        own
    )
    .fetch_one(&mut *transaction)
    .await?;
    if met.guests_is_bought {
        return Ok(None);
    }
    let cart = match own {
        Some(own) if !met.own_is_bought && met.currencies <= 1 => {
            pour(&mut transaction, guests, own).await?;
            own
        }
        _ => {
            hand_over(&mut transaction, guests, customer).await?;
            guests
        }
    };
    transaction.commit().await?;
    Ok(Some(cart))
}

/// The guest's cart becomes the customer's.
async fn hand_over(session: &mut Session<'_>, cart: Uuid, customer: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update carts
         set customer_id = $2, token_hash = null,
             updated_at = greatest(clock_timestamp(), updated_at + interval '1 microsecond')
         where id = $1",
        cart,
        customer
    )
    .execute(session)
    .await?;
    Ok(())
}

/// What is in both is added up, to the most that a cart may hold. A coupon comes along where there is none.
async fn pour(session: &mut Session<'_>, from: Uuid, into: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "with own as (select variant_id from cart_items where cart_id = $2),
              guests as (
             select i.variant_id, i.added_at, i.quantity,
                    o.variant_id is not null as in_both,
                    row_number() over (partition by o.variant_id is not null order by i.added_at, i.variant_id) as place
             from cart_items i left join own o on o.variant_id = i.variant_id
             where i.cart_id = $1
         )
         insert into cart_items as kept (cart_id, variant_id, added_at, quantity)
         select $2, variant_id, added_at, quantity from guests
         where in_both or place <= $4 - (select count(*) from own)
         on conflict (cart_id, variant_id) do update set quantity = least(kept.quantity + excluded.quantity, $3)",
        from,
        into,
        MAX_QUANTITY,
        MAX_LINES
    )
    .execute(&mut *session)
    .await?;
    sqlx::query!(
        "with gone as (delete from carts where id = $1 returning coupon_code)
         update carts
         set coupon_code = coalesce(carts.coupon_code, gone.coupon_code),
             updated_at = greatest(clock_timestamp(), carts.updated_at + interval '1 microsecond')
         from gone where carts.id = $2",
        from,
        into
    )
    .execute(session)
    .await?;
    Ok(())
}
