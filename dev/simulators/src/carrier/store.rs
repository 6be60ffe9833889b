//! The carrier's store: labels, idempotency keys and totals.

use std::collections::{HashMap, VecDeque};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::callback;
use crate::error::{ServiceError, check_text};

/// The body of `POST /v1/labels`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Parcel {
    /// The shop's identifier of the parcel: the id of the order.
    reference: String,
    service: Service,
    address: Address,
    #[serde(default)]
    pub(super) callback_url: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Service {
    Standard,
    Express,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Address {
    name: String,
    line1: String,
    #[serde(default)]
    line2: Option<String>,
    city: String,
    postal_code: String,
    #[serde(default)]
    region: Option<String>,
    /// ISO 3166-1 alpha-2.
    country: String,
}

impl Parcel {
    pub(super) fn check(&self) -> Result<(), ServiceError> {
        let address = &self.address;
        for (field, text) in [
            ("reference", &self.reference),
            ("address.name", &address.name),
            ("address.line1", &address.line1),
            ("address.city", &address.city),
            ("address.postal_code", &address.postal_code),
        ] {
            check_text(field, text)?;
        }
        for (field, text) in [
            ("address.line2", &address.line2),
            ("address.region", &address.region),
        ] {
            text.as_ref().map_or(Ok(()), |text| check_text(field, text))?;
        }
        if address.country.len() != 2 || !address.country.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err(ServiceError::invalid(
                "`address.country` must be two capital letters",
            ));
        }
        let url = self.callback_url.as_deref();
        url.map_or(Ok(()), callback::check_url)
            .map_err(ServiceError::invalid)
    }
}

/// A label, as in responses.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Label {
    pub(super) id: String,
    pub(super) reference: String,
    service: Service,
    pub(super) tracking_number: String,
    label_url: String,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    pub(super) delivered_at: Option<OffsetDateTime>,
}

/// The outcome of a request for a label.
#[derive(Debug)]
pub(super) enum LabelOutcome {
    Created(Label, Delivery),
    Replayed(Label),
    KeyReused,
}

/// A pending delivery.
#[derive(Debug)]
pub(super) struct Delivery {
    id: String,
    epoch: u64,
}

/// The response of `GET /v1/totals`. It includes evicted labels.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct CarrierTotals {
    labels: u64,
    delivered: u64,
    /// References with more than one label: parcels that are shipped twice.
    doubled: u64,
    /// Above 0, `doubled` is a lower bound.
    evicted: u64,
    callbacks: CallbackCounts,
}

/// Callbacks by outcome.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct CallbackCounts {
    pub(super) pending: u64,
    pub(super) acknowledged: u64,
    pub(super) given_up: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct StoredLabel {
    label: Label,
    parcel: Parcel,
    key: String,
    /// Delivered, and its callback was acknowledged, given up or not wanted.
    is_finished: bool,
}

/// The persistent part of the store, from which the rest is rebuilt.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct CarrierSnapshot {
    oldest_first: Vec<StoredLabel>,
    totals: CarrierTotals,
}

/// The carrier's state.
#[derive(Debug)]
pub(super) struct Store {
    capacity: usize,
    entries: HashMap<String, StoredLabel>,
    id_by_key: HashMap<String, String>,
    ids_by_reference: HashMap<String, Vec<String>>,
    oldest_first: VecDeque<String>,
    totals: CarrierTotals,
    /// Incremented by each reset, so that a delivery from before it isn't counted after it.
    epoch: u64,
}

impl Store {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            entries: HashMap::new(),
            id_by_key: HashMap::new(),
            ids_by_reference: HashMap::new(),
            oldest_first: VecDeque::new(),
            totals: CarrierTotals::default(),
            epoch: 0,
        }
    }

    /// Rebuilds the store from a snapshot.
    pub(super) fn restored(capacity: usize, snapshot: CarrierSnapshot) -> Self {
        let mut store = Self {
            totals: snapshot.totals,
            ..Self::new(capacity)
        };
        // Callbacks that were pending are sent again, and counted then.
        store.totals.callbacks.pending = 0;
        for entry in snapshot.oldest_first {
            let id = entry.label.id.clone();
            store.id_by_key.insert(entry.key.clone(), id.clone());
            let ids = store.ids_by_reference.entry(entry.label.reference.clone());
            ids.or_default().push(id.clone());
            store.oldest_first.push_back(id.clone());
            store.entries.insert(id, entry);
        }
        store
    }

    pub(super) fn snapshot(&self) -> CarrierSnapshot {
        let entries = self.oldest_first.iter().filter_map(|id| self.entries.get(id));
        CarrierSnapshot {
            oldest_first: entries.cloned().collect(),
            totals: self.totals.clone(),
        }
    }

    /// The deliveries that are still pending, with the creation time of each label.
    pub(super) fn pending_deliveries(&self) -> Vec<(Delivery, OffsetDateTime)> {
        let entries = self.entries.values().filter(|entry| !entry.is_finished);
        let delivery = |entry: &StoredLabel| Delivery {
            id: entry.label.id.clone(),
            epoch: self.epoch,
        };
        entries
            .map(|entry| (delivery(entry), entry.label.created_at))
            .collect()
    }

    pub(super) fn finish(&mut self, delivery: &Delivery) {
        if let Some(entry) = self.entries.get_mut(&delivery.id) {
            entry.is_finished = true;
        }
    }

    pub(super) fn reset(&mut self) {
        let epoch = self.epoch + 1;
        *self = Self {
            epoch,
            ..Self::new(self.capacity)
        };
    }

    pub(super) fn totals(&self) -> &CarrierTotals {
        &self.totals
    }

    pub(super) fn find(&self, id: &str) -> Option<Label> {
        self.entries.get(id).map(|entry| entry.label.clone())
    }

    pub(super) fn find_by_reference(&self, reference: &str) -> Vec<Label> {
        let ids = self.ids_by_reference.get(reference);
        ids.into_iter().flatten().filter_map(|id| self.find(id)).collect()
    }

    pub(super) fn print(&self, id: &str) -> Option<String> {
        let StoredLabel { label, parcel, .. } = self.entries.get(id)?;
        let address = &parcel.address;
        let lines = [
            Some(label.tracking_number.as_str()),
            Some(&address.name),
            Some(&address.line1),
            address.line2.as_deref(),
            Some(&address.postal_code),
            Some(&address.city),
            address.region.as_deref(),
            Some(&address.country),
        ];
        let lines: Vec<&str> = lines.into_iter().flatten().collect();
        Some(lines.join("\n") + "\n")
    }

    pub(super) fn create(&mut self, key: &str, parcel: Parcel, base_url: &str) -> LabelOutcome {
        if let Some(known) = self.id_by_key.get(key).and_then(|id| self.entries.get(id)) {
            return if known.parcel == parcel {
                LabelOutcome::Replayed(known.label.clone())
            } else {
                LabelOutcome::KeyReused
            };
        }
        if self.entries.len() >= self.capacity {
            self.evict_oldest();
        }
        let unique = Uuid::now_v7();
        let id = format!("lbl_{}", unique.simple());
        let label = Label {
            label_url: format!("{base_url}/v1/labels/{id}/label.txt"),
            id: id.clone(),
            reference: parcel.reference.clone(),
            service: parcel.service,
            // The random half of the UUID.
            tracking_number: format!("BK{:016X}", unique.as_u128() as u64),
            created_at: OffsetDateTime::now_utc(),
            delivered_at: None,
        };
        let ids = self.ids_by_reference.entry(parcel.reference.clone()).or_default();
        ids.push(id.clone());
        self.totals.labels += 1;
        self.totals.doubled += u64::from(ids.len() == 2);
        self.id_by_key.insert(key.to_owned(), id.clone());
        self.oldest_first.push_back(id.clone());
        let entry = StoredLabel {
            label: label.clone(),
            parcel,
            key: key.to_owned(),
            is_finished: false,
        };
        self.entries.insert(id.clone(), entry);
        let delivery = Delivery {
            id,
            epoch: self.epoch,
        };
        LabelOutcome::Created(label, delivery)
    }

    fn evict_oldest(&mut self) {
        let Some(entry) = self
            .oldest_first
            .pop_front()
            .and_then(|id| self.entries.remove(&id))
        else {
            return;
        };
        self.id_by_key.remove(&entry.key);
        if let Some(ids) = self.ids_by_reference.get_mut(&entry.label.reference) {
            ids.retain(|id| *id != entry.label.id);
            if ids.is_empty() {
                self.ids_by_reference.remove(&entry.label.reference);
            }
        }
        self.totals.evicted += 1;
    }

    /// Marks the parcel as delivered and returns its label and callback URL. `None` when it was evicted or reset.
    pub(super) fn deliver(&mut self, delivery: &Delivery) -> Option<(Label, Option<String>)> {
        let entry = self.entries.get_mut(&delivery.id)?;
        // It may have been delivered before a restart, with only the callback missing.
        if entry.label.delivered_at.is_none() {
            entry.label.delivered_at = Some(OffsetDateTime::now_utc());
            self.totals.delivered += 1;
        }
        Some((entry.label.clone(), entry.parcel.callback_url.clone()))
    }

    pub(super) fn count_callback(&mut self, delivery: &Delivery, count: impl FnOnce(&mut CallbackCounts)) {
        if delivery.epoch == self.epoch {
            count(&mut self.totals.callbacks);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parcel(reference: &str) -> Parcel {
        serde_json::from_value(serde_json::json!({
            "reference": reference, "service": "standard",
            "address": {"name": "Ada", "line1": "1 Way", "city": "Bonn", "postal_code": "53111", "country": "DE"},
        }))
        .unwrap()
    }

    #[test]
    fn the_oldest_label_is_evicted() {
        let mut store = Store::new(2);
        for key in ["a", "b", "c"] {
            store.create(key, parcel(key), "http://carrier");
        }
        assert_eq!(store.find_by_reference("a").len(), 0);
        assert_eq!(store.find_by_reference("b").len(), 1);
        assert_eq!(
            (
                store.entries.len(),
                store.id_by_key.len(),
                store.ids_by_reference.len()
            ),
            (2, 2, 2)
        );
        assert_eq!((store.totals.labels, store.totals.evicted), (3, 1));
    }

    #[test]
    fn a_delivery_from_before_a_reset_is_not_counted_after_it() {
        let mut store = Store::new(2);
        let LabelOutcome::Created(_, delivery) = store.create("a", parcel("a"), "http://carrier") else {
            panic!("it is new")
        };
        store.reset();
        assert!(store.deliver(&delivery).is_none());
        store.count_callback(&delivery, |counts| counts.acknowledged += 1);
        assert_eq!(store.totals.callbacks.acknowledged, 0);
    }
}
