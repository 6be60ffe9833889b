//! What the shop writes to its customers. Each email is a file: what it needs, its subject, its text and its HTML.
//!
//! Text is what counts: it is complete, and the HTML says the same. HTML is escaped by askama, which derives that from
//! the templates' ending. Whoever sends one reads `third_parties/mail.rs` next.

mod confirmation;
mod welcome;

pub use confirmation::{Address, Confirmation, Line};
pub use welcome::Welcome;

/// An email that is ready to be sent, apart from who gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Email {
    /// One line.
    pub subject: String,
    /// For readers without HTML.
    pub text: String,
    /// The same with some colour.
    pub html: String,
}

/// A subject is a header: a line break in it would begin another one. Names come from customers.
fn one_line(subject: String) -> String {
    subject.replace(|c: char| c.is_control(), " ")
}
