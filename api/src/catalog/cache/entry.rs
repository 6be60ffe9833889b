//! The format of a cached answer: a header with its stamp and its products, followed by the answer.

use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use crate::catalog::changes::{Lineage, Snapshot};
use crate::web::answer::Answer;

/// The magic bytes at a value's start. A new format gets new magic bytes and new keys, so that processes of two
/// releases can share a Redis.
const MAGIC: &[u8] = b"entry 2\n";

/// The maximum number of running transactions in a stored snapshot, and of products in an answer. An answer beyond
/// either isn't stored.
const MAX_IDS: usize = 4_096;

/// What the process knew of the database when it began to compute an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// The answer reflects at least the transactions that this snapshot includes.
    pub snapshot: Arc<Snapshot>,
    /// The lineage of the snapshot's database.
    pub lineage: Lineage,
    /// The start of the computation by the database's clock, in milliseconds since 1970.
    pub made_at_ms: u64,
}

/// A decoded value of the cache.
#[derive(Debug)]
pub struct Entry {
    pub stamp: Stamp,
    /// The ids of the products in the answer, 16 bytes each.
    products: Bytes,
    pub answer: Answer,
}

impl Entry {
    /// The bytes to store. `None` if there are more than `MAX_IDS`.
    pub fn encode(stamp: &Stamp, answer: &Answer) -> Option<Vec<u8>> {
        let running = stamp.snapshot.running();
        let products = answer.products();
        if running.len() > MAX_IDS || products.len() > MAX_IDS {
            return None;
        }
        let ids = running.len() * 8 + products.len() * 16;
        let mut bytes = Vec::with_capacity(MAGIC.len() + 40 + ids + answer.stored().len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&stamp.lineage.epoch.to_be_bytes());
        bytes.extend_from_slice(&stamp.lineage.timeline.to_be_bytes());
        for number in [stamp.made_at_ms, stamp.snapshot.oldest(), stamp.snapshot.next()] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend_from_slice(&(running.len() as u16).to_be_bytes());
        bytes.extend_from_slice(&(products.len() as u16).to_be_bytes());
        for transaction in running {
            bytes.extend_from_slice(&transaction.to_be_bytes());
        }
        for product in products {
            bytes.extend_from_slice(product.as_bytes());
        }
        bytes.extend_from_slice(answer.stored());
        Some(bytes)
    }

    /// Decodes a value. `None` if it has another format or is truncated.
    pub fn decode(mut bytes: Bytes) -> Option<Self> {
        if !bytes.starts_with(MAGIC) {
            return None;
        }
        let _ = bytes.split_to(MAGIC.len());
        let lineage = Lineage {
            epoch: take_u64(&mut bytes)?.cast_signed(),
            timeline: take_u32(&mut bytes)?,
        };
        let made_at_ms = take_u64(&mut bytes)?;
        let (oldest, next) = (take_u64(&mut bytes)?, take_u64(&mut bytes)?);
        let (running, products) = (take_u16(&mut bytes)?, take_u16(&mut bytes)?);
        let running = (0..running)
            .map(|_| take_u64(&mut bytes))
            .collect::<Option<_>>()?;
        let products_length = usize::from(products) * 16;
        if bytes.len() < products_length {
            return None;
        }
        let products = bytes.split_to(products_length);
        Some(Self {
            stamp: Stamp {
                snapshot: Arc::new(Snapshot::new(oldest, next, running)),
                lineage,
                made_at_ms,
            },
            products,
            answer: Answer::from_stored(bytes)?,
        })
    }

    /// The ids of the products in the answer.
    pub fn products(&self) -> impl Iterator<Item = Uuid> {
        self.products
            .chunks_exact(16)
            .filter_map(|bytes| Uuid::from_slice(bytes).ok())
    }
}

fn take_u64(bytes: &mut Bytes) -> Option<u64> {
    let number = u64::from_be_bytes(*bytes.first_chunk()?);
    let _ = bytes.split_to(8);
    Some(number)
}

fn take_u32(bytes: &mut Bytes) -> Option<u32> {
    let number = u32::from_be_bytes(*bytes.first_chunk()?);
    let _ = bytes.split_to(4);
    Some(number)
}

fn take_u16(bytes: &mut Bytes) -> Option<u16> {
    let number = u16::from_be_bytes(*bytes.first_chunk()?);
    let _ = bytes.split_to(2);
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_survives_a_round_trip() {
        let stamp = Stamp {
            snapshot: Arc::new(Snapshot::parse("10:20:10,14").unwrap()),
            lineage: Lineage {
                epoch: -3,
                timeline: 2,
            },
            made_at_ms: 77,
        };
        let products = vec![Uuid::from_u128(1), Uuid::from_u128(2)];
        let answer = Answer::new(Some("/next"), b"{}").showing(products.clone());
        let stored = Entry::encode(&stamp, &answer).unwrap();
        let entry = Entry::decode(stored.clone().into()).unwrap();
        assert_eq!(entry.stamp, stamp);
        assert_eq!(entry.products().collect::<Vec<_>>(), products);
        assert_eq!(entry.answer.stored(), answer.stored());
        for length in 0..stored.len() - answer.stored().len() {
            assert!(
                Entry::decode(stored[..length].to_vec().into()).is_none(),
                "{length}"
            );
        }
    }
}
