//! The gateway's store: payments, idempotency keys, and the totals that tests reconcile with a shop's.
//!
//! One lock guards the whole store, and each operation is a few look-ups, so of two concurrent requests with one key only
//! one creates a payment.

use std::collections::{BTreeMap, HashMap, VecDeque};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::authorize_request::{AuthorizeRequest, CardToken};

/// The state of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum PaymentStatus {
    Authorized,
    Captured,
    Voided,
    Declined,
}

impl PaymentStatus {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Authorized => "authorized",
            Self::Captured => "captured",
            Self::Voided => "voided",
            Self::Declined => "declined",
        }
    }
}

/// A payment, as in responses.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Payment {
    pub(super) id: String,
    pub(super) status: PaymentStatus,
    #[serde(flatten)]
    details: PaymentDetails,
    idempotency_key: String,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    /// When it was captured, voided or declined.
    #[serde(with = "time::serde::rfc3339::option")]
    settled_at: Option<OffsetDateTime>,
}

/// The request as it appears in responses. The token stands for a card, so it is left out.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct PaymentDetails {
    amount: i64,
    currency: String,
    reference: String,
    #[serde(skip)]
    payment_token: String,
}

impl PaymentDetails {
    fn matches(&self, request: &AuthorizeRequest) -> bool {
        self.amount == request.amount
            && self.currency == request.currency
            && self.reference == request.reference
            && self.payment_token == request.payment_token
    }
}

/// The outcome of a request to authorize.
#[derive(Debug)]
pub(super) enum AuthorizeOutcome {
    Created(Payment),
    Replayed(Payment),
    KeyReused,
    Flaky { failed_before: u32 },
    Full,
}

/// The outcome of a request to capture or void.
#[derive(Debug)]
pub(super) enum TransitionOutcome {
    Done(Payment),
    Conflict(PaymentStatus),
    NotFound,
}

/// The response of `GET /v1/totals`. The counts by status and the amounts include evicted payments.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct PaymentTotals {
    authorized: u64,
    captured: u64,
    voided: u64,
    declined: u64,
    /// References that were ever authorized more than once.
    doubled: u64,
    /// References with more than one payment that is authorized or captured now: double charges.
    doubled_now: u64,
    /// Finished payments that were evicted. Above 0, `doubled` and `doubled_now` are lower bounds.
    evicted: u64,
    /// By currency.
    amounts: BTreeMap<String, AmountsByStatus>,
}

/// Sums in minor units, by current status.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct AmountsByStatus {
    authorized: i64,
    captured: i64,
    voided: i64,
    declined: i64,
}

impl PaymentTotals {
    /// Adds a payment to the totals, or removes it with `times` = −1.
    fn add(&mut self, payment: &Payment, status: PaymentStatus, times: i64) {
        if !self.amounts.contains_key(&payment.details.currency) {
            self.amounts
                .insert(payment.details.currency.clone(), AmountsByStatus::default());
        }
        let amounts = self.amounts.get_mut(&payment.details.currency);
        let amounts = amounts.expect("inserted above");
        let (count, sum) = match status {
            PaymentStatus::Authorized => (&mut self.authorized, &mut amounts.authorized),
            PaymentStatus::Captured => (&mut self.captured, &mut amounts.captured),
            PaymentStatus::Voided => (&mut self.voided, &mut amounts.voided),
            PaymentStatus::Declined => (&mut self.declined, &mut amounts.declined),
        };
        *count = count.saturating_add_signed(times);
        *sum = sum.saturating_add(times * payment.details.amount);
    }
}

/// The number of authorizations of one reference.
#[derive(Debug, Clone, Copy, Default)]
struct AuthorizationCount {
    ever: u32,
    /// Not voided.
    active: u32,
}

/// The gateway's state.
#[derive(Debug)]
pub(super) struct Store {
    capacity: usize,
    payments: HashMap<String, Payment>,
    id_by_key: HashMap<String, String>,
    by_reference: HashMap<String, AuthorizationCount>,
    /// The ids of finished payments, in the order of eviction.
    finished: VecDeque<String>,
    /// The failures so far of each key with `tok_flaky`.
    flaky: HashMap<String, u32>,
    totals: PaymentTotals,
}

/// The persistent part of the store, from which the rest is rebuilt.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct PaymentSnapshot {
    payments: Vec<StoredPayment>,
    finished: VecDeque<String>,
    flaky: HashMap<String, u32>,
    totals: PaymentTotals,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredPayment {
    payment: Payment,
    payment_token: String,
}

impl Store {
    /// Rebuilds the store from a snapshot.
    pub(super) fn restored(capacity: usize, snapshot: PaymentSnapshot) -> Self {
        let mut store = Self {
            finished: snapshot.finished,
            flaky: snapshot.flaky,
            totals: snapshot.totals,
            ..Self::new(capacity)
        };
        for StoredPayment {
            mut payment,
            payment_token,
        } in snapshot.payments
        {
            payment.details.payment_token = payment_token;
            if payment.status != PaymentStatus::Declined {
                let reference = payment.details.reference.clone();
                let authorizations = store.by_reference.entry(reference).or_default();
                authorizations.ever += 1;
                authorizations.active += u32::from(payment.status != PaymentStatus::Voided);
            }
            let (key, id) = (payment.idempotency_key.clone(), payment.id.clone());
            store.id_by_key.insert(key, id.clone());
            store.payments.insert(id, payment);
        }
        store
    }

    pub(super) fn snapshot(&self) -> PaymentSnapshot {
        let payments = self.payments.values().map(|payment| StoredPayment {
            payment: payment.clone(),
            payment_token: payment.details.payment_token.clone(),
        });
        PaymentSnapshot {
            payments: payments.collect(),
            finished: self.finished.clone(),
            flaky: self.flaky.clone(),
            totals: self.totals.clone(),
        }
    }

    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            payments: HashMap::new(),
            id_by_key: HashMap::new(),
            by_reference: HashMap::new(),
            finished: VecDeque::new(),
            flaky: HashMap::new(),
            totals: PaymentTotals::default(),
        }
    }

    pub(super) fn reset(&mut self) {
        *self = Self::new(self.capacity);
    }

    pub(super) fn totals(&self) -> &PaymentTotals {
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
        request: AuthorizeRequest,
        token: CardToken,
        flaky_failures: u32,
    ) -> AuthorizeOutcome {
        if let Some(known) = self.find_by_key(key) {
            return if known.details.matches(&request) {
                AuthorizeOutcome::Replayed(known)
            } else {
                AuthorizeOutcome::KeyReused
            };
        }
        if token == CardToken::Flaky {
            let failed_before = self.flaky.get(key).copied().unwrap_or_default();
            if failed_before < flaky_failures {
                self.count_failure(key, failed_before + 1);
                return AuthorizeOutcome::Flaky { failed_before };
            }
            self.flaky.remove(key);
        }
        if self.payments.len() >= self.capacity && !self.evict_oldest_finished() {
            return AuthorizeOutcome::Full;
        }
        AuthorizeOutcome::Created(self.insert(key, request, token))
    }

    fn count_failure(&mut self, key: &str, failures: u32) {
        // Bounds the map, because abandoned keys would accumulate. After clearing it, a few keys fail again.
        if self.flaky.len() >= self.capacity {
            self.flaky.clear();
        }
        self.flaky.insert(key.to_owned(), failures);
    }

    fn insert(&mut self, key: &str, request: AuthorizeRequest, token: CardToken) -> Payment {
        let now = OffsetDateTime::now_utc();
        let is_declined = token == CardToken::Declined;
        // Partly random, so that an id from before a restart never names another payment.
        let id = format!("pay_{}", Uuid::now_v7().simple());
        let payment = Payment {
            id: id.clone(),
            status: if is_declined {
                PaymentStatus::Declined
            } else {
                PaymentStatus::Authorized
            },
            details: PaymentDetails {
                amount: request.amount,
                currency: request.currency,
                reference: request.reference,
                payment_token: request.payment_token,
            },
            idempotency_key: key.to_owned(),
            created_at: now,
            settled_at: is_declined.then_some(now),
        };
        self.totals.add(&payment, payment.status, 1);
        if is_declined {
            self.finished.push_back(id.clone());
        } else {
            self.count_authorization(&payment.details.reference);
        }
        self.id_by_key.insert(key.to_owned(), id.clone());
        self.payments.insert(id, payment.clone());
        payment
    }

    fn count_authorization(&mut self, reference: &str) {
        let authorizations = self.by_reference.entry(reference.to_owned()).or_default();
        authorizations.ever += 1;
        authorizations.active += 1;
        self.totals.doubled += u64::from(authorizations.ever == 2);
        self.totals.doubled_now += u64::from(authorizations.active == 2);
    }

    /// Captures or voids an authorized payment. Idempotent.
    pub(super) fn transition(&mut self, id: &str, wanted: PaymentStatus) -> TransitionOutcome {
        let Some(payment) = self.payments.get_mut(id) else {
            return TransitionOutcome::NotFound;
        };
        if payment.status == wanted {
            return TransitionOutcome::Done(payment.clone());
        }
        if payment.status != PaymentStatus::Authorized {
            return TransitionOutcome::Conflict(payment.status);
        }
        payment.status = wanted;
        payment.settled_at = Some(OffsetDateTime::now_utc());
        self.totals.add(payment, PaymentStatus::Authorized, -1);
        self.totals.add(payment, wanted, 1);
        if wanted == PaymentStatus::Voided
            && let Some(authorizations) = self.by_reference.get_mut(&payment.details.reference)
        {
            authorizations.active -= 1;
            self.totals.doubled_now -= u64::from(authorizations.active == 1);
        }
        let payment = payment.clone();
        self.finished.push_back(payment.id.clone());
        TransitionOutcome::Done(payment)
    }

    /// Evicts the payment that finished first. Unfinished payments are never evicted, because they can still be captured.
    fn evict_oldest_finished(&mut self) -> bool {
        let Some(payment) = self.finished.pop_front().and_then(|id| self.payments.remove(&id)) else {
            return false;
        };
        self.id_by_key.remove(&payment.idempotency_key);
        if payment.status != PaymentStatus::Declined
            && let Some(authorizations) = self.by_reference.get_mut(&payment.details.reference)
        {
            authorizations.ever -= 1;
            if payment.status == PaymentStatus::Captured {
                authorizations.active -= 1;
            }
            if authorizations.ever == 0 {
                self.by_reference.remove(&payment.details.reference);
            }
        }
        self.totals.evicted += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(reference: &str) -> AuthorizeRequest {
        AuthorizeRequest {
            amount: 100,
            currency: "EUR".to_owned(),
            payment_token: "tok_ok".to_owned(),
            reference: reference.to_owned(),
        }
    }

    fn authorized(store: &mut Store, key: &str) -> String {
        match store.authorize(key, order(key), CardToken::Ok, 0) {
            AuthorizeOutcome::Created(payment) => payment.id,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_oldest_finished_payment_is_evicted_and_an_open_one_never_is() {
        let mut store = Store::new(2);
        let first = authorized(&mut store, "a");
        let second = authorized(&mut store, "b");
        assert!(matches!(
            store.authorize("c", order("c"), CardToken::Ok, 0),
            AuthorizeOutcome::Full
        ));
        store.transition(&second, PaymentStatus::Captured);
        authorized(&mut store, "c");
        assert!(store.find(&first).is_some());
        assert!(store.find(&second).is_none() && store.find_by_key("b").is_none());
        let totals = store.totals();
        assert_eq!((totals.authorized, totals.captured, totals.evicted), (2, 1, 1));
        assert_eq!(store.by_reference.len(), 2);
    }

    #[test]
    fn a_reference_counts_as_doubled_once_and_as_doubled_now_until_one_is_voided() {
        let mut store = Store::new(10);
        for key in ["a", "b", "c"] {
            store.authorize(key, order("one"), CardToken::Ok, 0);
        }
        assert_eq!((store.totals().doubled, store.totals().doubled_now), (1, 1));
        for key in ["a", "b"] {
            let id = store.find_by_key(key).unwrap().id;
            store.transition(&id, PaymentStatus::Voided);
        }
        assert_eq!((store.totals().doubled, store.totals().doubled_now), (1, 0));
    }

    #[test]
    fn a_snapshot_restores_the_same_store() {
        let mut store = Store::new(10);
        for key in ["a", "b"] {
            store.authorize(key, order("one"), CardToken::Ok, 0);
        }
        let second = store.find_by_key("b").unwrap().id;
        store.transition(&second, PaymentStatus::Captured);
        store.authorize("c", order("two"), CardToken::Flaky, 2);
        let snapshot = serde_json::to_vec(&store.snapshot()).unwrap();
        let mut restored = Store::restored(10, serde_json::from_slice(&snapshot).unwrap());
        assert!(matches!(
            restored.authorize("a", order("one"), CardToken::Ok, 0),
            AuthorizeOutcome::Replayed(_)
        ));
        assert!(matches!(
            restored.authorize("c", order("two"), CardToken::Flaky, 2),
            AuthorizeOutcome::Flaky { failed_before: 1 }
        ));
        // The counts by reference are rebuilt from the payments.
        let first = restored.find_by_key("a").unwrap().id;
        restored.transition(&first, PaymentStatus::Voided);
        let totals = restored.totals();
        assert_eq!(
            (totals.doubled, totals.doubled_now, totals.captured, totals.voided),
            (1, 0, 1, 1)
        );
        assert_eq!(restored.finished.len(), 2);
    }

    #[test]
    fn the_failures_of_abandoned_keys_are_bounded() {
        let mut store = Store::new(3);
        for key in 0..100 {
            store.authorize(&key.to_string(), order("one"), CardToken::Flaky, 2);
            assert!(store.flaky.len() <= 3);
        }
    }
}
