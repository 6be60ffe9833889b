//! Mails to customers. Each is a file with its data, subject, text and HTML.
//!
//! The text is complete; the HTML has the same content. askama escapes HTML by the templates' file extension.
//! Read next: `third_parties/mail.rs`.

mod confirmation;
mod welcome;

pub use confirmation::{Address, Confirmation, ConfirmationLine};
pub use welcome::Welcome;

/// A rendered email, without its recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Email {
    /// One line.
    pub subject: String,
    /// For readers without HTML.
    pub text: String,
    pub html: String,
}

/// A subject is a header, so a line break in it would start another one (header injection).
/// Names come from customers.
fn one_line(subject: String) -> String {
    subject.replace(|c: char| c.is_control(), " ")
}
