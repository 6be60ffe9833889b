//! What must hold of an arm's data when everybody has bought and registered: nothing lost, nothing made twice.
//!
//! No worker runs beside a comparison, so what the arms have written down for it is still there to be counted.

use anyhow::Result;
use sqlx::{AssertSqlSafe, Connection, FromRow, PgConnection};

use super::requests::Preparation;
use super::stand::{Ground, Stand};
use super::supply::DOMAIN;
use crate::costs::LAB_MARK;

/// What a database holds that orders and registrations change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, FromRow)]
pub struct Totals {
    /// Units in stock.
    units: i64,
    /// Units in the lines of the lab's orders.
    sold: i64,
    /// The lab's orders.
    orders: i64,
    /// Of these, paid ones.
    pub paid: i64,
    /// Of these, those whose lines do not add up to their subtotal.
    wrong_sums: i64,
    /// Keys that are bound to one of them.
    keys: i64,
    /// Carts that were ordered more than once.
    carts_twice: i64,
    /// Events that an order is paid.
    paid_events: i64,
    /// The lab's customers.
    customers: i64,
    /// Events that somebody has registered.
    registered_events: i64,
    /// Of these, those whose mail the request itself has sent.
    pub welcomed: i64,
}

impl Totals {
    /// Reads them.
    pub async fn read(database_url: &str) -> Result<Self> {
        let mut connection = PgConnection::connect(database_url).await?;
        let read = format!(
            "with ordered as materialized (select id, cart_id, status, subtotal_cents from orders where email like '%{DOMAIN}'), \
             lines as materialized ( \
                 select o.id, o.subtotal_cents, sum(l.quantity) as units, sum(l.quantity * l.unit_price_cents) as cents \
                 from ordered o join order_lines l on l.order_id = o.id group by o.id, o.subtotal_cents) \
             select (select sum(stock_quantity) from variants)::bigint as units, \
                 (select coalesce(sum(units), 0) from lines)::bigint as sold, \
                 (select count(*) from ordered) as orders, \
                 (select count(*) from ordered where status = 'paid') as paid, \
                 (select count(*) from lines where cents <> subtotal_cents) as wrong_sums, \
                 (select count(distinct k.order_id) from idempotency_keys k join ordered o on o.id = k.order_id) as keys, \
                 (select count(*) - count(distinct cart_id) from ordered) as carts_twice, \
                 (select count(*) from outbox where event = 'order.paid') as paid_events, \
                 (select count(*) from customers where email like '%{DOMAIN}') as customers, \
                 (select count(*) from outbox where event = 'customer.registered') as registered_events, \
                 (select count(*) from inbox where consumer = 'welcome_email') as welcomed {LAB_MARK}"
        );
        let totals = sqlx::query_as(AssertSqlSafe(read))
            .fetch_one(&mut connection)
            .await?;
        connection.close().await?;
        Ok(totals)
    }

    /// What is wrong with the data, if anything, given what they were at first.
    pub fn violated(&self, at_first: &Totals) -> Option<String> {
        let sold = self.sold - at_first.sold;
        let rules = [
            (
                at_first.units - self.units == sold,
                "stock and sold units must add up",
            ),
            (self.paid == self.orders, "every order must be paid"),
            (
                self.wrong_sums == 0,
                "lines must add up to their order's subtotal",
            ),
            (self.keys == self.orders, "every order must have a key of its own"),
            (self.carts_twice == 0, "no cart may be ordered twice"),
            (
                self.paid_events - at_first.paid_events == self.paid - at_first.paid,
                "every paid order must have its event",
            ),
            (
                self.registered_events - at_first.registered_events == self.customers - at_first.customers,
                "every registration must have its event",
            ),
        ];
        let broken: Vec<&str> = rules
            .into_iter()
            .filter_map(|(holds, rule)| (!holds).then_some(rule))
            .collect();
        (!broken.is_empty()).then(|| {
            format!(
                "{}: {at_first:?} at first, {self:?} afterwards",
                broken.join("; ")
            )
        })
    }
}

/// What is wrong with the data after everything was sent that writes, if anything. Then no number counts: a shop that
/// loses orders is fast.
pub async fn violated(
    preparation: &Preparation,
    ground: &Ground,
    stands: &[Stand],
) -> Result<Option<String>> {
    let (mut paid, mut welcomed) = (0, 0);
    for stand in stands {
        let Some(at_first) = preparation.at_first.get(stand.arm) else {
            continue;
        };
        let now = Totals::read(&stand.database_url).await?;
        if let Some(violated) = now.violated(at_first) {
            return Ok(Some(format!("{}: {violated}", stand.arm)));
        }
        paid += now.paid - at_first.paid;
        welcomed += now.welcomed - at_first.welcomed;
    }
    let Some(third_parties) = &ground.third_parties else {
        return Ok(None);
    };
    let (payments, mails) = (third_parties.payments().await?, third_parties.mails().await?);
    let (payments_before, mails_before) = preparation.third_parties_at_first;
    let (payments, doubled) = (payments - payments_before, third_parties.charged_twice().await?);
    if doubled > 0 || payments != paid.unsigned_abs() {
        return Ok(Some(format!(
            "{paid} orders were paid with {payments} payments; {doubled} were charged more than once"
        )));
    }
    let mails = mails - mails_before;
    Ok((mails != welcomed.unsigned_abs()).then(|| format!("{welcomed} welcomes were sent in {mails} mails")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after_three_orders() -> Totals {
        Totals {
            units: 985,
            sold: 15,
            orders: 3,
            paid: 3,
            keys: 3,
            paid_events: 3,
            ..Totals::default()
        }
    }

    #[test]
    fn a_unit_that_left_without_an_order_is_noticed() {
        let at_first = Totals {
            units: 1_000,
            ..Totals::default()
        };
        assert_eq!(after_three_orders().violated(&at_first), None);
        let lost = Totals {
            units: 984,
            ..after_three_orders()
        };
        let fault = lost.violated(&at_first).unwrap();
        assert!(fault.starts_with("stock and sold units must add up:"), "{fault}");
    }

    #[test]
    fn an_order_without_its_event_and_a_customer_without_theirs_are_noticed() {
        let at_first = Totals {
            units: 1_000,
            ..Totals::default()
        };
        let silent = Totals {
            paid_events: 2,
            customers: 1,
            ..after_three_orders()
        };
        let fault = silent.violated(&at_first).unwrap();
        assert!(
            fault.contains("paid order must have its event; every registration"),
            "{fault}"
        );
    }
}
