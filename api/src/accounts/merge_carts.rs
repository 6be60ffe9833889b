//! Merges a guest's cart at sign-in: its items are added to the customer's newest unordered cart. If there is none, or
//! it has a different currency, the guest's cart is assigned to the customer instead. Called by `sign_in.rs`.

use shop::cart_limits::{MAX_LINES, MAX_QUANTITY};
use uuid::Uuid;

use crate::database::InstrumentedConnection;
use crate::opaque_token::TokenHash;

/// Merges the guest's cart of a token into the customer's, and returns the resulting cart. `None` when the token has
/// no cart, or an ordered one.
///
/// # Errors
/// When a statement fails; the transaction is rolled back.
pub async fn merge(
    connection: &mut InstrumentedConnection<'_>,
    customer: Uuid,
    cart_token: &TokenHash,
) -> Result<Option<Uuid>, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    // Both rows are locked before the check for orders: a concurrent order of the cart holds the lock until its
    // commit, and is visible to the next statement.
    let guest_cart = sqlx::query_scalar!(
        "select id from carts where token_hash = $1 for update",
        cart_token.as_slice()
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(guest_cart) = guest_cart else {
        return Ok(None);
    };
    let own_cart = sqlx::query_scalar!(
        "select id from carts
         where customer_id = $1 and not exists (select from orders where cart_id = carts.id)
         order by id desc limit 1
         for update",
        customer
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let state = sqlx::query!(
        r#"select exists (select from orders where cart_id = $1) as "guests_is_bought!",
                  exists (select from orders where cart_id = $2) as "own_is_bought!",
                  (select count(distinct p.currency) from cart_items i
                   join variants v on v.id = i.variant_id
                   join products p on p.id = v.product_id
                   where i.cart_id in ($1, $2)) as "currencies!""#,
        guest_cart,
        own_cart
    )
    .fetch_one(&mut *transaction)
    .await?;
    if state.guests_is_bought {
        return Ok(None);
    }
    let cart = match own_cart {
        Some(own_cart) if !state.own_is_bought && state.currencies <= 1 => {
            merge_items(&mut transaction, guest_cart, own_cart).await?;
            own_cart
        }
        _ => {
            assign_to_customer(&mut transaction, guest_cart, customer).await?;
            guest_cart
        }
    };
    transaction.commit().await?;
    Ok(Some(cart))
}

async fn assign_to_customer(
    connection: &mut InstrumentedConnection<'_>,
    cart: Uuid,
    customer: Uuid,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update carts
         set customer_id = $2, token_hash = null,
             updated_at = greatest(clock_timestamp(), updated_at + interval '1 microsecond')
         where id = $1",
        cart,
        customer
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Adds up the quantities of variants in both carts, within the limits. The customer's own lines take precedence, then
/// the guest's in the order they were added. The guest's coupon is kept if the customer's cart has none.
async fn merge_items(
    connection: &mut InstrumentedConnection<'_>,
    from: Uuid,
    into: Uuid,
) -> Result<(), sqlx::Error> {
    // The column's type.
    let max_quantity = MAX_QUANTITY as i32;
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
        max_quantity,
        MAX_LINES
    )
    .execute(&mut *connection)
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
    .execute(connection)
    .await?;
    Ok(())
}
