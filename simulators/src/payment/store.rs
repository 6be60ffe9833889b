//! The payments that the gateway remembers, what their keys promise, and the sums that tests compare with a shop's.
//!
//! One lock is around all of it and each operation is a few look-ups, so twins of one key can't both be first.

use std::collections::{BTreeMap, HashMap, VecDeque};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::order::{Order, Token};

/// Where a payment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    Authorized,
    Captured,
    Voided,
    Declined,
}

impl Status {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Authorized => "authorized",
            Self::Captured => "captured",
            Self::Voided => "voided",
            Self::Declined => "declined",
        }
    }
}

/// A payment, as it is answered.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Payment {
    pub(super) id: String,
    pub(super) status: Status,
    #[serde(flatten)]
    order: Paid,
    idempotency_key: String,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    /// When it was captured, voided or declined.
    #[serde(with = "time::serde::rfc3339::option")]
    settled_at: Option<OffsetDateTime>,
}

/// What a payment shows of its order. The token isn't shown: it stands for a card.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Paid {
    amount: i64,
    currency: String,
    reference: String,
    #[serde(skip)]
    payment_token: String,
}

impl Paid {
    fn is(&self, order: &Order) -> bool {
        self.amount == order.amount
            && self.currency == order.currency
            && self.reference == order.reference
            && self.payment_token == order.payment_token
    }
}

/// How an attempt to authorize went.
#[derive(Debug)]
pub(super) enum Attempt {
    New(Payment),
    Known(Payment),
    KeyReused,
    Flaky { failed_before: u32 },
    Full,
}

/// How an attempt to capture or void went.
#[derive(Debug)]
pub(super) enum Change {
    Done(Payment),
    Conflict(Status),
    NotFound,
}

/// What `GET /v1/totals` answers. The counts by status and the sums include payments that were evicted.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Totals {
    authorized: u64,
    captured: u64,
    voided: u64,
    declined: u64,
    /// References that were ever authorized more than once.
    doubled: u64,
    /// References of which more than one payment is authorized or captured now: what charges someone twice.
    doubled_now: u64,
    /// Finished payments that were forgotten for new ones. Above 0, `doubled` and `doubled_now` are lower bounds.
    evicted: u64,
    /// By currency.
    amounts: BTreeMap<String, Amounts>,
}

/// Sums in minor units, by the payments' status now.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Amounts {
    authorized: i64,
    captured: i64,
    voided: i64,
    declined: i64,
}

impl Totals {
    /// Counts a payment in or, with −1, out.
    fn count(&mut self, payment: &Payment, status: Status, times: i64) {
        if !self.amounts.contains_key(&payment.order.currency) {
            self.amounts
                .insert(payment.order.currency.clone(), Amounts::default());
        }
        let amounts = self.amounts.get_mut(&payment.order.currency);
        let amounts = amounts.expect("put there when it was missing");
        let (count, sum) = match status {
            Status::Authorized => (&mut self.authorized, &mut amounts.authorized),
            Status::Captured => (&mut self.captured, &mut amounts.captured),
            Status::Voided => (&mut self.voided, &mut amounts.voided),
            Status::Declined => (&mut self.declined, &mut amounts.declined),
        };
        *count = count.saturating_add_signed(times);
        *sum = sum.saturating_add(times * payment.order.amount);
    }
}

/// The authorizations of one reference.
#[derive(Debug, Clone, Copy, Default)]
struct Authorizations {
    ever: u32,
    /// Not voided.
    standing: u32,
}

/// Everything that the gateway remembers.
#[derive(Debug)]
pub(super) struct Store {
    most: usize,
    payments: HashMap<String, Payment>,
    id_by_key: HashMap<String, String>,
    by_reference: HashMap<String, Authorizations>,
    /// In the order in which they were finished: the first is forgotten first.
    finished: VecDeque<String>,
    /// How often a key failed with `tok_flaky`, until it works.
    flaky: HashMap<String, u32>,
    totals: Totals,
}

/// What is kept over a restart. The rest of a store follows from it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Kept {
    payments: Vec<KeptPayment>,
    finished: VecDeque<String>,
    flaky: HashMap<String, u32>,
    totals: Totals,
}

#[derive(Debug, Serialize, Deserialize)]
struct KeptPayment {
    payment: Payment,
    payment_token: String,
}

impl Store {
    /// With what was kept.
    pub(super) fn restored(most: usize, kept: Kept) -> Self {
        let mut store = Self {
            finished: kept.finished,
            flaky: kept.flaky,
            totals: kept.totals,
            ..Self::new(most)
        };
        for KeptPayment {
            mut payment,
            payment_token,
        } in kept.payments
        {
            payment.order.payment_token = payment_token;
            if payment.status != Status::Declined {
                let reference = payment.order.reference.clone();
                let authorizations = store.by_reference.entry(reference).or_default();
                authorizations.ever += 1;
                authorizations.standing += u32::from(payment.status != Status::Voided);
            }
            let (key, id) = (payment.idempotency_key.clone(), payment.id.clone());
            store.id_by_key.insert(key, id.clone());
            store.payments.insert(id, payment);
        }
        store
    }

    /// What [`Store::restored`] takes.
    pub(super) fn kept(&self) -> Kept {
        let payments = self.payments.values().map(|payment| KeptPayment {
            payment: payment.clone(),
            payment_token: payment.order.payment_token.clone(),
        });
        Kept {
            payments: payments.collect(),
            finished: self.finished.clone(),
            flaky: self.flaky.clone(),
            totals: self.totals.clone(),
        }
    }

    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            payments: HashMap::new(),
            id_by_key: HashMap::new(),
            by_reference: HashMap::new(),
            finished: VecDeque::new(),
            flaky: HashMap::new(),
            totals: Totals::default(),
        }
    }

    pub(super) fn reset(&mut self) {
        *self = Self::new(self.most);
    }

    pub(super) fn totals(&self) -> &Totals {
        &self.totals
    }

    pub(super) fn find(&self, id: &str) -> Option<Payment> {
        self.payments.get(id).cloned()
    }

    pub(super) fn find_by_key(&self, key: &str) -> Option<Payment> {
        self.find(self.id_by_key.get(key)?)
    }

    pub(super) fn authorize(
        &mut self,
        key: &str,
        order: Order,
        token: Token,
        flaky_failures: u32,
    ) -> Attempt {
        if let Some(known) = self.find_by_key(key) {
            return if known.order.is(&order) {
                Attempt::Known(known)
            } else {
                Attempt::KeyReused
            };
        }
        if token == Token::Flaky {
            let failed_before = self.flaky.get(key).copied().unwrap_or_default();
            if failed_before < flaky_failures {
                self.count_failure(key, failed_before + 1);
                return Attempt::Flaky { failed_before };
            }
            self.flaky.remove(key);
        }
        if self.payments.len() >= self.most && !self.forget_one() {
            return Attempt::Full;
        }
        Attempt::New(self.remember(key, order, token))
    }

    fn count_failure(&mut self, key: &str, failures: u32) {
        // Keys that nobody tries again would pile up. Forgetting all of them only makes some fail anew.
        if self.flaky.len() >= self.most {
            self.flaky.clear();
        }
        self.flaky.insert(key.to_owned(), failures);
    }

    fn remember(&mut self, key: &str, order: Order, token: Token) -> Payment {
        let now = OffsetDateTime::now_utc();
        let is_declined = token == Token::Declined;
        // Random in part: after a restart, no id of before means another payment.
        let id = format!("pay_{}", Uuid::now_v7().simple());
        let payment = Payment {
            id: id.clone(),
            status: if is_declined {
                Status::Declined
            } else {
                Status::Authorized
            },
            order: Paid {
                amount: order.amount,
                currency: order.currency,
                reference: order.reference,
                payment_token: order.payment_token,
            },
            idempotency_key: key.to_owned(),
            created_at: now,
            settled_at: is_declined.then_some(now),
        };
        self.totals.count(&payment, payment.status, 1);
        if is_declined {
            self.finished.push_back(id.clone());
        } else {
            self.count_authorization(&payment.order.reference);
        }
        self.id_by_key.insert(key.to_owned(), id.clone());
        self.payments.insert(id, payment.clone());
        payment
    }

    fn count_authorization(&mut self, reference: &str) {
        let authorizations = self.by_reference.entry(reference.to_owned()).or_default();
        authorizations.ever += 1;
        authorizations.standing += 1;
        self.totals.doubled += u64::from(authorizations.ever == 2);
        self.totals.doubled_now += u64::from(authorizations.standing == 2);
    }

    /// Moves an authorized payment on. Asked again, it answers as before.
    pub(super) fn settle(&mut self, id: &str, wanted: Status) -> Change {
        let Some(payment) = self.payments.get_mut(id) else {
            return Change::NotFound;
        };
        if payment.status == wanted {
            return Change::Done(payment.clone());
        }
        if payment.status != Status::Authorized {
            return Change::Conflict(payment.status);
        }
        payment.status = wanted;
        payment.settled_at = Some(OffsetDateTime::now_utc());
        self.totals.count(payment, Status::Authorized, -1);
        self.totals.count(payment, wanted, 1);
        if wanted == Status::Voided
            && let Some(authorizations) = self.by_reference.get_mut(&payment.order.reference)
        {
            authorizations.standing -= 1;
            self.totals.doubled_now -= u64::from(authorizations.standing == 1);
        }
        let settled = payment.clone();
        self.finished.push_back(settled.id.clone());
        Change::Done(settled)
    }

    /// Makes room. A payment that is not finished is never forgotten: someone will come to capture it.
    fn forget_one(&mut self) -> bool {
        let Some(payment) = self.finished.pop_front().and_then(|id| self.payments.remove(&id)) else {
            return false;
        };
        self.id_by_key.remove(&payment.idempotency_key);
        if payment.status != Status::Declined
            && let Some(authorizations) = self.by_reference.get_mut(&payment.order.reference)
        {
            authorizations.ever -= 1;
            if payment.status == Status::Captured {
                authorizations.standing -= 1;
            }
            if authorizations.ever == 0 {
                self.by_reference.remove(&payment.order.reference);
            }
        }
        self.totals.evicted += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(reference: &str) -> Order {
        Order {
            amount: 100,
            currency: "EUR".to_owned(),
            payment_token: "tok_ok".to_owned(),
            reference: reference.to_owned(),
        }
    }

    fn authorized(store: &mut Store, key: &str) -> String {
        match store.authorize(key, order(key), Token::Ok, 0) {
            Attempt::New(payment) => payment.id,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_oldest_finished_payment_makes_room_and_an_open_one_never_does() {
        let mut store = Store::new(2);
        let first = authorized(&mut store, "a");
        let second = authorized(&mut store, "b");
        assert!(matches!(
            store.authorize("c", order("c"), Token::Ok, 0),
            Attempt::Full
        ));
        store.settle(&second, Status::Captured);
        authorized(&mut store, "c");
        assert!(store.find(&first).is_some());
        assert!(store.find(&second).is_none() && store.find_by_key("b").is_none());
        let totals = store.totals();
        assert_eq!((totals.authorized, totals.captured, totals.evicted), (2, 1, 1));
        assert_eq!(store.by_reference.len(), 2);
    }

    #[test]
    fn a_reference_counts_as_doubled_once_and_as_standing_until_one_is_voided() {
        let mut store = Store::new(10);
        for key in ["a", "b", "c"] {
            store.authorize(key, order("one"), Token::Ok, 0);
        }
        assert_eq!((store.totals().doubled, store.totals().doubled_now), (1, 1));
        for key in ["a", "b"] {
            let id = store.find_by_key(key).unwrap().id;
            store.settle(&id, Status::Voided);
        }
        assert_eq!((store.totals().doubled, store.totals().doubled_now), (1, 0));
    }

    #[test]
    fn what_is_kept_makes_the_same_store_again() {
        let mut store = Store::new(10);
        for key in ["a", "b"] {
            store.authorize(key, order("one"), Token::Ok, 0);
        }
        let second = store.find_by_key("b").unwrap().id;
        store.settle(&second, Status::Captured);
        store.authorize("c", order("two"), Token::Flaky, 2);
        let kept = serde_json::to_vec(&store.kept()).unwrap();
        let mut again = Store::restored(10, serde_json::from_slice(&kept).unwrap());
        assert!(matches!(
            again.authorize("a", order("one"), Token::Ok, 0),
            Attempt::Known(_)
        ));
        assert!(matches!(
            again.authorize("c", order("two"), Token::Flaky, 2),
            Attempt::Flaky { failed_before: 1 }
        ));
        // The counts by reference as well: they follow from the payments.
        let first = again.find_by_key("a").unwrap().id;
        again.settle(&first, Status::Voided);
        let totals = again.totals();
        assert_eq!(
            (totals.doubled, totals.doubled_now, totals.captured, totals.voided),
            (1, 0, 1, 1)
        );
        assert_eq!(again.finished.len(), 2);
    }

    #[test]
    fn failures_of_keys_that_nobody_tries_again_are_bounded() {
        let mut store = Store::new(3);
        for key in 0..100 {
            store.authorize(&key.to_string(), order("one"), Token::Flaky, 2);
            assert!(store.flaky.len() <= 3);
        }
    }
}
