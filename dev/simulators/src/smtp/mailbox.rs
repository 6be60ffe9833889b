//! The mails that arrived, bounded by number and total size. The oldest are evicted.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// The capacity of the mailbox.
#[derive(Debug, Clone, Copy)]
pub struct MailboxLimits {
    /// The maximum number of mails.
    pub mails: usize,
    /// The maximum size of all mails together.
    pub bytes: usize,
}

/// Sender and recipients of the SMTP commands. The mail's headers may differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Envelope {
    pub(super) from: String,
    pub(super) to: Vec<String>,
}

#[derive(Debug)]
pub(super) struct Mail {
    /// From 1, in order of arrival.
    pub(super) id: u64,
    pub(super) received_at: OffsetDateTime,
    pub(super) envelope: Envelope,
    pub(super) raw: Vec<u8>,
    /// `false` when the reply was lost as an injected fault, so that the client may send the mail again.
    pub(super) is_answered: bool,
}

impl Mail {
    pub(super) fn is_to(&self, address: &str) -> bool {
        self.envelope.to.iter().any(|to| to.eq_ignore_ascii_case(address))
    }
}

/// The response of `GET /messages/count`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MailCounts {
    /// In the mailbox now, for the requested recipient.
    pub(super) stored: usize,
    /// Since the last reset.
    pub(super) received: u64,
    /// Of the received ones, those evicted.
    pub(super) evicted: u64,
    /// Of the received ones, those whose reply was lost.
    pub(super) unanswered: u64,
}

#[derive(Debug, Default)]
struct MailboxState {
    /// In order of arrival. The ids have no gaps.
    mails: VecDeque<Arc<Mail>>,
    bytes: usize,
    last_id: u64,
    counts: MailCounts,
}

/// The persistent state.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct MailSnapshot {
    mails: Vec<StoredMail>,
    last_id: u64,
    counts: MailCounts,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredMail {
    #[serde(with = "time::serde::rfc3339")]
    received_at: OffsetDateTime,
    envelope: Envelope,
    /// Latin-1, one character per byte. Mails are usually ASCII, and an array of numbers would be four times as long.
    raw: String,
    is_answered: bool,
}

/// The store of all mails.
#[derive(Debug)]
pub struct Mailbox {
    limits: MailboxLimits,
    state: Mutex<MailboxState>,
}

impl Mailbox {
    /// An empty mailbox.
    pub fn new(limits: MailboxLimits) -> Self {
        Self {
            limits,
            state: Mutex::default(),
        }
    }

    /// Rebuilds the mailbox from a snapshot.
    pub fn restored(limits: MailboxLimits, snapshot: MailSnapshot) -> Self {
        let mailbox = Self::new(limits);
        let mails = u64::try_from(snapshot.mails.len()).expect("no memory holds more mails");
        // The ids of the stored mails have no gaps and end with the last id.
        mailbox.lock().last_id = snapshot.last_id.saturating_sub(mails);
        for mail in snapshot.mails {
            let raw = mail.raw.chars().map(|c| u8::try_from(c).unwrap_or(b'?'));
            mailbox.insert_at(mail.received_at, mail.envelope, raw.collect(), mail.is_answered);
        }
        mailbox.lock().counts = snapshot.counts;
        mailbox
    }

    /// The current state.
    pub fn snapshot(&self) -> MailSnapshot {
        let state = self.lock();
        let mails = state.mails.iter().map(|mail| StoredMail {
            received_at: mail.received_at,
            envelope: mail.envelope.clone(),
            raw: mail.raw.iter().copied().map(char::from).collect(),
            is_answered: mail.is_answered,
        });
        MailSnapshot {
            mails: mails.collect(),
            last_id: state.last_id,
            counts: state.counts,
        }
    }

    fn lock(&self) -> MutexGuard<'_, MailboxState> {
        // No code panics while it holds the lock, so it is never poisoned.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores a mail and returns its id.
    pub(super) fn insert(&self, envelope: Envelope, raw: Vec<u8>, is_answered: bool) -> u64 {
        self.insert_at(OffsetDateTime::now_utc(), envelope, raw, is_answered)
    }

    fn insert_at(
        &self,
        received_at: OffsetDateTime,
        envelope: Envelope,
        raw: Vec<u8>,
        is_answered: bool,
    ) -> u64 {
        let mut state = self.lock();
        state.last_id += 1;
        state.bytes += raw.len();
        state.counts.received += 1;
        state.counts.unanswered += u64::from(!is_answered);
        let mail = Mail {
            id: state.last_id,
            received_at,
            envelope,
            raw,
            is_answered,
        };
        state.mails.push_back(Arc::new(mail));
        while state.mails.len() > self.limits.mails || state.bytes > self.limits.bytes {
            let Some(oldest) = state.mails.pop_front() else {
                break;
            };
            state.bytes -= oldest.raw.len();
            state.counts.evicted += 1;
        }
        state.last_id
    }

    pub(super) fn find(&self, id: u64) -> Option<Arc<Mail>> {
        let state = self.lock();
        let first = state.mails.front()?.id;
        let index = usize::try_from(id.checked_sub(first)?).ok()?;
        state.mails.get(index).cloned()
    }

    /// The newest mails first, optionally of one recipient.
    pub(super) fn newest(&self, to: Option<&str>, limit: usize) -> Vec<Arc<Mail>> {
        let state = self.lock();
        let wanted = state
            .mails
            .iter()
            .rev()
            .filter(|mail| to.is_none_or(|to| mail.is_to(to)));
        wanted.take(limit).cloned().collect()
    }

    pub(super) fn counts(&self, to: Option<&str>) -> MailCounts {
        let state = self.lock();
        let stored = match to {
            None => state.mails.len(),
            Some(to) => state.mails.iter().filter(|mail| mail.is_to(to)).count(),
        };
        MailCounts {
            stored,
            ..state.counts
        }
    }

    /// Deletes all mails and counts. Ids continue, so that no id is used twice.
    pub(super) fn clear(&self) {
        let mut state = self.lock();
        let last_id = state.last_id;
        *state = MailboxState {
            last_id,
            ..MailboxState::default()
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(mailbox: &Mailbox, to: &str, bytes: usize) -> u64 {
        let envelope = Envelope {
            from: String::new(),
            to: vec![to.to_owned()],
        };
        mailbox.insert(envelope, vec![b'x'; bytes], true)
    }

    #[test]
    fn the_oldest_are_evicted_by_number_and_by_bytes() {
        let mailbox = Mailbox::new(MailboxLimits { mails: 3, bytes: 100 });
        for _ in 0..5 {
            insert(&mailbox, "a@x", 10);
        }
        assert!(mailbox.find(2).is_none() && mailbox.find(3).is_some());
        insert(&mailbox, "b@x", 95);
        let ids: Vec<u64> = mailbox.newest(None, 10).iter().map(|mail| mail.id).collect();
        assert_eq!(ids, [6]);
        assert_eq!(mailbox.counts(Some("a@x")).stored, 0);
        assert_eq!(
            (mailbox.counts(None).received, mailbox.counts(None).evicted),
            (6, 5)
        );
    }

    #[test]
    fn a_snapshot_restores_the_same_mailbox() {
        let limits = MailboxLimits { mails: 2, bytes: 100 };
        let mailbox = Mailbox::new(limits);
        for text in ["one", "two", "Grüße"] {
            let envelope = Envelope {
                from: "shop@x".to_owned(),
                to: vec!["a@x".to_owned()],
            };
            mailbox.insert(envelope, text.as_bytes().to_vec(), true);
        }
        let snapshot = serde_json::to_vec(&mailbox.snapshot()).unwrap();
        let restored = Mailbox::restored(limits, serde_json::from_slice(&snapshot).unwrap());
        assert_eq!(restored.counts(Some("a@x")), mailbox.counts(Some("a@x")));
        assert_eq!(restored.find(3).unwrap().raw, "Grüße".as_bytes());
        assert_eq!(
            restored.find(3).unwrap().received_at,
            mailbox.find(3).unwrap().received_at
        );
        assert!(restored.find(1).is_none());
        assert_eq!(insert(&restored, "b@x", 1), 4);
    }

    #[test]
    fn ids_continue_after_a_reset() {
        let mailbox = Mailbox::new(MailboxLimits { mails: 3, bytes: 100 });
        insert(&mailbox, "a@x", 1);
        mailbox.clear();
        assert_eq!(mailbox.counts(None), MailCounts::default());
        let id = insert(&mailbox, "a@x", 1);
        assert_eq!(
            (id, mailbox.find(id).is_some(), mailbox.find(1).is_some()),
            (2, true, false)
        );
    }
}
