//! The labels that the carrier remembers, and what their keys promise.

use std::collections::{HashMap, VecDeque};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::callback;
use crate::refusal::{Refusal, check_text};

/// The body of `POST /v1/labels`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Parcel {
    /// The shop's own name of the parcel: an order's id.
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

/// Where a parcel goes.
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
    pub(super) fn check(&self) -> Result<(), Refusal> {
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
            return Err(Refusal::invalid("`address.country` must be two capital letters"));
        }
        let url = self.callback_url.as_deref();
        url.map_or(Ok(()), callback::check_url).map_err(Refusal::invalid)
    }
}

/// A label, as it is answered.
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

/// How an attempt to make a label went.
#[derive(Debug)]
pub(super) enum Attempt {
    New(Label, Delivery),
    Known(Label),
    KeyReused,
}

/// A parcel that is on its way, and since which reset.
#[derive(Debug)]
pub(super) struct Delivery {
    id: String,
    epoch: u64,
}

/// What `GET /v1/totals` answers; evicted labels are counted.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Totals {
    labels: u64,
    delivered: u64,
    /// References with more than one label: parcels that are sent twice.
    doubled: u64,
    /// The oldest labels, forgotten for new ones. Above 0, `doubled` is a lower bound.
    evicted: u64,
    callbacks: CallbackCounts,
}

/// Callbacks by what became of them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct CallbackCounts {
    pub(super) pending: u64,
    pub(super) acknowledged: u64,
    pub(super) given_up: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Entry {
    label: Label,
    parcel: Parcel,
    key: String,
    /// Nothing more comes of it: the shop was told, or will not be.
    is_finished: bool,
}

/// What is kept over a restart. The rest of a store follows from it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Kept {
    oldest_first: Vec<Entry>,
    totals: Totals,
}

/// Everything that the carrier remembers.
#[derive(Debug)]
pub(super) struct Store {
    most: usize,
    entries: HashMap<String, Entry>,
    id_by_key: HashMap<String, String>,
    ids_by_reference: HashMap<String, Vec<String>>,
    oldest_first: VecDeque<String>,
    totals: Totals,
    /// Counts resets, so that what was on its way before one isn't counted after it.
    epoch: u64,
}

impl Store {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            entries: HashMap::new(),
            id_by_key: HashMap::new(),
            ids_by_reference: HashMap::new(),
            oldest_first: VecDeque::new(),
            totals: Totals::default(),
            epoch: 0,
        }
    }

    /// With what was kept.
    pub(super) fn restored(most: usize, kept: Kept) -> Self {
        let mut store = Self {
            totals: kept.totals,
            ..Self::new(most)
        };
        // Those that were under way are begun again.
        store.totals.callbacks.pending = 0;
        for entry in kept.oldest_first {
            let id = entry.label.id.clone();
            store.id_by_key.insert(entry.key.clone(), id.clone());
            let of_reference = store.ids_by_reference.entry(entry.label.reference.clone());
            of_reference.or_default().push(id.clone());
            store.oldest_first.push_back(id.clone());
            store.entries.insert(id, entry);
        }
        store
    }

    /// What [`Store::restored`] takes.
    pub(super) fn kept(&self) -> Kept {
        let entries = self.oldest_first.iter().filter_map(|id| self.entries.get(id));
        Kept {
            oldest_first: entries.cloned().collect(),
            totals: self.totals.clone(),
        }
    }

    /// What is still to be delivered, or told of, with the time of its label.
    pub(super) fn unfinished(&self) -> Vec<(Delivery, OffsetDateTime)> {
        let entries = self.entries.values().filter(|entry| !entry.is_finished);
        let delivery = |entry: &Entry| Delivery {
            id: entry.label.id.clone(),
            epoch: self.epoch,
        };
        entries
            .map(|entry| (delivery(entry), entry.label.created_at))
            .collect()
    }

    /// Nothing more comes of this delivery.
    pub(super) fn finish(&mut self, delivery: &Delivery) {
        if let Some(entry) = self.entries.get_mut(&delivery.id) {
            entry.is_finished = true;
        }
    }

    pub(super) fn reset(&mut self) {
        let epoch = self.epoch + 1;
        *self = Self {
            epoch,
            ..Self::new(self.most)
        };
    }

    pub(super) fn totals(&self) -> &Totals {
        &self.totals
    }

    pub(super) fn find(&self, id: &str) -> Option<Label> {
        self.entries.get(id).map(|entry| entry.label.clone())
    }

    pub(super) fn of_reference(&self, reference: &str) -> Vec<Label> {
        let ids = self.ids_by_reference.get(reference);
        ids.into_iter().flatten().filter_map(|id| self.find(id)).collect()
    }

    pub(super) fn print(&self, id: &str) -> Option<String> {
        let Entry { label, parcel, .. } = self.entries.get(id)?;
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

    pub(super) fn create(&mut self, key: &str, parcel: Parcel, base_url: &str) -> Attempt {
        if let Some(known) = self.id_by_key.get(key).and_then(|id| self.entries.get(id)) {
            return if known.parcel == parcel {
                Attempt::Known(known.label.clone())
            } else {
                Attempt::KeyReused
            };
        }
        if self.entries.len() >= self.most {
            self.forget_oldest();
        }
        let unique = Uuid::now_v7();
        let id = format!("lbl_{}", unique.simple());
        let label = Label {
            label_url: format!("{base_url}/v1/labels/{id}/label.txt"),
            id: id.clone(),
            reference: parcel.reference.clone(),
            service: parcel.service,
            // The random half of the id.
            tracking_number: format!("BK{:016X}", unique.as_u128() as u64),
            created_at: OffsetDateTime::now_utc(),
            delivered_at: None,
        };
        let of_reference = self.ids_by_reference.entry(parcel.reference.clone()).or_default();
        of_reference.push(id.clone());
        self.totals.labels += 1;
        self.totals.doubled += u64::from(of_reference.len() == 2);
        self.id_by_key.insert(key.to_owned(), id.clone());
        self.oldest_first.push_back(id.clone());
        let entry = Entry {
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
        Attempt::New(label, delivery)
    }

    fn forget_oldest(&mut self) {
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

    /// The delivered label, and where its shop wants to be told. `None` when it was forgotten meanwhile.
    pub(super) fn deliver(&mut self, delivery: &Delivery) -> Option<(Label, Option<String>)> {
        let entry = self.entries.get_mut(&delivery.id)?;
        // It may have been before a restart, and only its shop not told.
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
    fn the_oldest_label_makes_room() {
        let mut store = Store::new(2);
        for key in ["a", "b", "c"] {
            store.create(key, parcel(key), "http://carrier");
        }
        assert_eq!(store.of_reference("a").len(), 0);
        assert_eq!(store.of_reference("b").len(), 1);
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
    fn what_was_on_its_way_before_a_reset_is_not_counted_after_it() {
        let mut store = Store::new(2);
        let Attempt::New(_, delivery) = store.create("a", parcel("a"), "http://carrier") else {
            panic!("it is new")
        };
        store.reset();
        assert!(store.deliver(&delivery).is_none());
        store.count_callback(&delivery, |counts| counts.acknowledged += 1);
        assert_eq!(store.totals.callbacks.acknowledged, 0);
    }
}
