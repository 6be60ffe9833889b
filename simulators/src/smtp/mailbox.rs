//! The mails that arrived, up to a number and a sum of bytes: the oldest make room.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Mails.
    pub mails: usize,
    /// Bytes of all mails together.
    pub bytes: usize,
}

/// From whom and to whom, as was said in the conversation; a mail's headers may say otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Envelope {
    pub(super) from: String,
    pub(super) to: Vec<String>,
}

/// A mail that arrived.
#[derive(Debug)]
pub(super) struct Mail {
    /// From 1, in order of arrival.
    pub(super) id: u64,
    pub(super) received_at: OffsetDateTime,
    pub(super) envelope: Envelope,
    pub(super) raw: Vec<u8>,
    /// `false` when its client was made to lose the answer, and so may send it again.
    pub(super) is_answered: bool,
}

impl Mail {
    pub(super) fn is_to(&self, address: &str) -> bool {
        self.envelope.to.iter().any(|to| to.eq_ignore_ascii_case(address))
    }
}

/// What `GET /messages/count` answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counts {
    /// That can be read now, and are to the address that was asked for.
    pub(super) stored: usize,
    /// Since the last reset.
    pub(super) received: u64,
    /// Of those, how many were forgotten for newer ones.
    pub(super) evicted: u64,
    /// Of those received, how many had their answer lost.
    pub(super) unanswered: u64,
}

#[derive(Debug, Default)]
struct Contents {
    /// In order of arrival; the ids have no gaps.
    mails: VecDeque<Arc<Mail>>,
    bytes: usize,
    last_id: u64,
    counts: Counts,
}

/// What is kept over a restart.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Kept {
    mails: Vec<KeptMail>,
    last_id: u64,
    counts: Counts,
}

#[derive(Debug, Serialize, Deserialize)]
struct KeptMail {
    #[serde(with = "time::serde::rfc3339")]
    received_at: OffsetDateTime,
    envelope: Envelope,
    /// A character for each byte. Mails are ASCII as a rule, and numbers in JSON would be four times as long.
    raw: String,
    is_answered: bool,
}

/// All mails.
#[derive(Debug)]
pub struct Mailbox {
    bounds: Bounds,
    contents: Mutex<Contents>,
}

impl Mailbox {
    /// An empty one.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            contents: Mutex::default(),
        }
    }

    /// With the mails that were kept.
    pub fn restored(bounds: Bounds, kept: Kept) -> Self {
        let mailbox = Self::new(bounds);
        let mails = u64::try_from(kept.mails.len()).expect("no memory holds more mails");
        // The ids of what is kept have no gaps, and end with the last.
        mailbox.lock().last_id = kept.last_id.saturating_sub(mails);
        for mail in kept.mails {
            let raw = mail.raw.chars().map(|c| u8::try_from(c).unwrap_or(b'?'));
            mailbox.put_at(mail.received_at, mail.envelope, raw.collect(), mail.is_answered);
        }
        mailbox.lock().counts = kept.counts;
        mailbox
    }

    /// What [`Mailbox::restored`] takes.
    pub fn kept(&self) -> Kept {
        let contents = self.lock();
        let mails = contents.mails.iter().map(|mail| KeptMail {
            received_at: mail.received_at,
            envelope: mail.envelope.clone(),
            raw: mail.raw.iter().copied().map(char::from).collect(),
            is_answered: mail.is_answered,
        });
        Kept {
            mails: mails.collect(),
            last_id: contents.last_id,
            counts: contents.counts,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        // Nothing panics while it holds the lock.
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its id.
    pub(super) fn put(&self, envelope: Envelope, raw: Vec<u8>, is_answered: bool) -> u64 {
        self.put_at(OffsetDateTime::now_utc(), envelope, raw, is_answered)
    }

    fn put_at(
        &self,
        received_at: OffsetDateTime,
        envelope: Envelope,
        raw: Vec<u8>,
        is_answered: bool,
    ) -> u64 {
        let mut contents = self.lock();
        contents.last_id += 1;
        contents.bytes += raw.len();
        contents.counts.received += 1;
        contents.counts.unanswered += u64::from(!is_answered);
        let mail = Mail {
            id: contents.last_id,
            received_at,
            envelope,
            raw,
            is_answered,
        };
        contents.mails.push_back(Arc::new(mail));
        while contents.mails.len() > self.bounds.mails || contents.bytes > self.bounds.bytes {
            let Some(oldest) = contents.mails.pop_front() else {
                break;
            };
            contents.bytes -= oldest.raw.len();
            contents.counts.evicted += 1;
        }
        contents.last_id
    }

    pub(super) fn find(&self, id: u64) -> Option<Arc<Mail>> {
        let contents = self.lock();
        let first = contents.mails.front()?.id;
        let index = usize::try_from(id.checked_sub(first)?).ok()?;
        contents.mails.get(index).cloned()
    }

    /// The newest first, to an address or to all.
    pub(super) fn newest(&self, to: Option<&str>, limit: usize) -> Vec<Arc<Mail>> {
        let contents = self.lock();
        let wanted = contents
            .mails
            .iter()
            .rev()
            .filter(|mail| to.is_none_or(|to| mail.is_to(to)));
        wanted.take(limit).cloned().collect()
    }

    pub(super) fn counts(&self, to: Option<&str>) -> Counts {
        let contents = self.lock();
        let stored = match to {
            None => contents.mails.len(),
            Some(to) => contents.mails.iter().filter(|mail| mail.is_to(to)).count(),
        };
        Counts {
            stored,
            ..contents.counts
        }
    }

    /// Forgets all mails and counts; ids go on, so that none means two mails.
    pub(super) fn clear(&self) {
        let mut contents = self.lock();
        let last_id = contents.last_id;
        *contents = Contents {
            last_id,
            ..Contents::default()
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(mailbox: &Mailbox, to: &str, bytes: usize) -> u64 {
        let envelope = Envelope {
            from: String::new(),
            to: vec![to.to_owned()],
        };
        mailbox.put(envelope, vec![b'x'; bytes], true)
    }

    #[test]
    fn the_oldest_make_room_by_number_and_by_bytes() {
        let mailbox = Mailbox::new(Bounds { mails: 3, bytes: 100 });
        for _ in 0..5 {
            put(&mailbox, "a@x", 10);
        }
        assert!(mailbox.find(2).is_none() && mailbox.find(3).is_some());
        put(&mailbox, "b@x", 95);
        let ids: Vec<u64> = mailbox.newest(None, 10).iter().map(|mail| mail.id).collect();
        assert_eq!(ids, [6]);
        assert_eq!(mailbox.counts(Some("a@x")).stored, 0);
        assert_eq!(
            (mailbox.counts(None).received, mailbox.counts(None).evicted),
            (6, 5)
        );
    }

    #[test]
    fn what_is_kept_makes_the_same_mailbox_again() {
        let bounds = Bounds { mails: 2, bytes: 100 };
        let mailbox = Mailbox::new(bounds);
        for text in ["one", "two", "Grüße"] {
            let envelope = Envelope {
                from: "shop@x".to_owned(),
                to: vec!["a@x".to_owned()],
            };
            mailbox.put(envelope, text.as_bytes().to_vec(), true);
        }
        let kept = serde_json::to_vec(&mailbox.kept()).unwrap();
        let again = Mailbox::restored(bounds, serde_json::from_slice(&kept).unwrap());
        assert_eq!(again.counts(Some("a@x")), mailbox.counts(Some("a@x")));
        assert_eq!(again.find(3).unwrap().raw, "Grüße".as_bytes());
        assert_eq!(
            again.find(3).unwrap().received_at,
            mailbox.find(3).unwrap().received_at
        );
        assert!(again.find(1).is_none());
        assert_eq!(put(&again, "b@x", 1), 4);
    }

    #[test]
    fn ids_go_on_after_everything_was_forgotten() {
        let mailbox = Mailbox::new(Bounds { mails: 3, bytes: 100 });
        put(&mailbox, "a@x", 1);
        mailbox.clear();
        assert_eq!(mailbox.counts(None), Counts::default());
        let id = put(&mailbox, "a@x", 1);
        assert_eq!(
            (id, mailbox.find(id).is_some(), mailbox.find(1).is_some()),
            (2, true, false)
        );
    }
}
